"""What is asked of and done to the cluster itself: topics, offsets, deletions."""
