"""The links of the chain, a function each: it returns the evidence of health, or raises Blame or Skip."""
