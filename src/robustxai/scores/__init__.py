"""What of a classifier is explained: scores by name, as numbers and as coefficients of the logits."""
