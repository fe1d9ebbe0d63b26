"""Where records come from: RecordIO files and the InsightFace layout on top of them."""
