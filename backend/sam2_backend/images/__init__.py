"""Images from wherever a task says they are, as pixels."""
