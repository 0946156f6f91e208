"""What a training step costs in memory and time, for whom the article's extra Dense layer is."""
