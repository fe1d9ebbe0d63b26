"""The protocols of the field: verification, identification, templates, and intervals of what they measure."""
