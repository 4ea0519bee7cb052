"""Looking inside: what a model has learned and how it computes it. Every analysis is a `Measurement`."""
