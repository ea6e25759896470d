"""Training-size studies: grids of small trainings, learning curves. See chapter 06."""
