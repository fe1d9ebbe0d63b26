"""Sets of faces with people or templates, for identification."""
