"""What is wrong with a run: rules over the files of its folder, and over what was measured of its model. No torch."""
