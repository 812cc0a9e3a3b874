# %% [markdown]
# # Scoring, cells as a data frame, another guideline: from Python
#
# Run it cell by cell in an editor that knows `# %%` cells, or as a whole: `python example_projects/04_from_python.py`.
# It scores the four drawn fields of `01_score_cells` into a temporary folder. Research use only.

# %%
import tempfile
from pathlib import Path

import qupath_her2 as qh

HERE = Path(__file__).parent
out = Path(tempfile.mkdtemp(prefix="her2-example-"))

# %% Open the project: images, regions, cases. No pixel is read yet.
project = qh.open_project(HERE / "01_score_cells", out=out)
for image in project.images:
    print(image.name, image.case.case, image.case.site)

# %% Score all images; `out` now holds summary.csv and report.html.
results = qh.run(project)
for result in results:
    print(f"{result.name}: {result.score.answer}, {result.n_cells} cells. {result.score.reason}")

# %% The cells of one image, one row each.
cells = qh.read_cells(results[2])
print(cells[["class", "HER2: Membrane completeness"]].groupby("class", observed=True).agg(["size", "median"]))

# %% The strongest 5 % of the cells, by their place in the image (level-0 pixels).
densest = cells["HER2: Membrane DAB OD mean"].quantile(0.95)
print(cells.loc[cells["HER2: Membrane DAB OD mean"] >= densest, ["x_px", "y_px", "class"]].head())

# %% The same cells by the gastric rules: no pixel is read again.
for result in qh.score(project, guideline="gastric-resection"):
    print(f"{result.name}: {result.score.answer} by {result.score.guideline}")

# %% Networks of published systems that could be trained on these regions.
print(", ".join(model.name for model in qh.list_models()))
print(f"report: {out / 'report.html'}")
