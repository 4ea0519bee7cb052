"""Knowledge beside the weights: what is found for a prompt in triples or in text, and put before it."""
