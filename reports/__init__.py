"""Reports: stored records in; tables, figures and pages out. Nothing here runs a model."""
