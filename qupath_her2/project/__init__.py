"""Room 1: QuPath projects and plain image folders, in and out.

`class_names` maps annotation classes to tissue roles, `geojson` parses annotations and writes cells for import,
`exchange` owns the folder shared by QuPath and Python, `qupath` runs QuPath headless, and `folder` and `cases`
find the images and their case data.
"""
