// Adds the image file args[0] to the project under its own name, with type, pixel size and regions of the first image.
import java.awt.image.BufferedImage
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.ImageServerProvider

def project = getProject()
def first = project.getImageList()[0].readImageData()
def file = new File(args[0])
def support = ImageServerProvider.getPreferredUriImageSupport(BufferedImage, file.toURI().toString())
def entry = project.addImage(support.getBuilders()[0])
entry.setImageName(file.name)
def image = entry.readImageData()
image.setImageType(first.getImageType())
def scale = first.getServer().getPixelCalibration()
image.updateServerMetadata(new ImageServerMetadata.Builder(image.getServer().getMetadata())
    .pixelSizeMicrons(scale.getPixelWidthMicrons(), scale.getPixelHeightMicrons()).build())
image.getHierarchy().addObjects(first.getHierarchy().getAnnotationObjects() as List)
entry.saveImageData(image)
project.syncChanges()
println "ADDED ${entry.getImageName()} ${image.getServer().getServerType()} rgb=${image.getServer().isRGB()}"
