"""What verify looks at: shards, records, tables, images, and the source."""
