"""GeoJSON: reads annotations and existing cells, writes measured cells for import into QuPath."""
