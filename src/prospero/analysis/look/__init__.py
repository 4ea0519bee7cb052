"""One text under the glass: what the model read, expected and weighed at each token, as one page."""
