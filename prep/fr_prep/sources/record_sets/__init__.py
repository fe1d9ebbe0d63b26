"""Record sets of MXNet, in every dialect."""
