"""Several devices and processes that train together."""
