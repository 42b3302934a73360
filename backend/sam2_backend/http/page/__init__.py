"""A page to look at the model without Label Studio."""
