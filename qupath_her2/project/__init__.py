"""Room 1: QuPath and plain folders, in and out.

`vocabulary` knows what class names mean, `geojson` reads people's regions strictly, `cells_geojson` writes
cells that QuPath imports, `exchange` keeps the folder between QuPath and Python, `folder` and `cases` find
images and cases.
"""
