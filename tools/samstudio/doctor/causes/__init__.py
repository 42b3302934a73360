"""Every cause the doctor can name; a module each for what part of the chain it is about. `table` has them in order."""
