// Deletes all cells of the image but the first args[0].
def cells = getCellObjects() as List
getCurrentHierarchy().removeObjects(cells.drop(args[0] as int), true)
println "KEPT ${getCellObjects().size()}"
