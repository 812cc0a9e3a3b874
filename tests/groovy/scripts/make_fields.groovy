// Makes a project of the images in folder args[0], each with the regions from the GeoJSON file next to it. args[1] is
// their pixel size in µm.
import java.awt.image.BufferedImage
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.ImageServerProvider
import qupath.lib.io.PathIO
import qupath.lib.projects.Projects

def folder = new File(args[0])
double pixelSize = args[1] as double
def project = Projects.createProject(folder, BufferedImage)
for (File file : folder.listFiles().findAll { it.name.endsWith(".ome.tif") }.sort()) {
    def support = ImageServerProvider.getPreferredUriImageSupport(BufferedImage, file.toURI().toString())
    def entry = project.addImage(support.getBuilders()[0])
    entry.setImageName(file.name - ".ome.tif")
    ImageData<BufferedImage> image = entry.readImageData()
    image.setImageType(ImageData.ImageType.BRIGHTFIELD_H_DAB)
    image.updateServerMetadata(new ImageServerMetadata.Builder(image.getServer().getMetadata())
        .pixelSizeMicrons(pixelSize, pixelSize).build())
    image.getHierarchy().addObjects(PathIO.readObjects(new File(folder, file.name - ".ome.tif" + ".geojson")))
    entry.saveImageData(image)
}
project.syncChanges()
println "MADE ${project.getImageList().size()}"
