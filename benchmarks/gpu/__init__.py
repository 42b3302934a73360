"""What a card does: `pack` makes the folder to copy to a GPU machine, `run` runs the steps, one module each."""
