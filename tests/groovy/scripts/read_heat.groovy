// Prints how QuPath reads a heat map's pyramid (args[0]): size, pixel size, levels, channels and a pixel of each.
import java.awt.image.BufferedImage
import qupath.lib.images.servers.ImageServers
import qupath.lib.regions.RegionRequest

def server = ImageServers.buildServer(new File(args[0]).toURI())
def pixels = server.readRegion(RegionRequest.createInstance(server))
def at = [args[1] as int, args[2] as int]
println "HEAT size ${server.getWidth()} ${server.getHeight()}"
println "HEAT um ${server.getPixelCalibration().getPixelWidthMicrons()}"
println "HEAT levels ${server.nResolutions()}"
println "HEAT type ${server.getPixelType()}"
server.getMetadata().getChannels().eachWithIndex { channel, i ->
    println "HEAT channel ${channel.getColor() & 0xffffff} ${pixels.getRaster().getSampleDouble(at[0], at[1], i)} ${channel.getName()}"
}
