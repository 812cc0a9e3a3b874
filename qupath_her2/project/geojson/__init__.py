"""GeoJSON in both directions: people's regions and existing cells in, measured cells out."""
