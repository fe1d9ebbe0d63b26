"""From a planned set of images to a folder of shards."""
