"""Page 4: what a model answers before and after, question by question and in all."""
