// Functions for snippets of the tests: make images, send them through the worker and back.
def pattern(bits, w, h, nc, nz, nt, unit = null) {
    def imp = ij.IJ.createHyperStack("cells.tif", w, h, nc, nz, nt, bits)
    for (t in 0..<nt) for (z in 0..<nz) for (c in 0..<nc) {
        def plane = imp.getStack().getProcessor(imp.getStackIndex(c + 1, z + 1, t + 1))
        for (y in 0..<h) for (x in 0..<w) {
            int v = (x + 2 * y + 21 * c + 55 * z + 221 * t) % 251
            if (bits == 8) plane.set(x, y, v)
            else if (bits == 16) plane.set(x, y, v * 261)
            else if (bits == 24) plane.set(x, y, (v << 16) | ((250 - v) << 8) | (v >> 1))
            else plane.setf(x, y, (float) (v / 8 - 3))
        }
    }
    return imp
}
def make(Map about) {
    def imp = pattern(about.bits ?: 32, about.w ?: 24, about.h ?: 20, about.nc ?: 1, about.nz ?: 1, about.nt ?: 1)
    if (about.roi) imp.setRoi(*about.roi)
    if (about.unit) {
        imp.calibration.unit = about.unit
        imp.calibration.pixelWidth = imp.calibration.pixelHeight = about.size ?: 0.1
        imp.calibration.pixelDepth = 0.3
    }
    return imp
}
/* Sends an image through the worker and back, as a job that changes nothing. */
def echo(client, imp) {
    ij.WindowManager.setTempCurrentImage(imp)
    def source = client.takeImage([values: [:], options: null])
    def script = '''
import json
import numpy as np
from bridge.jobs.desk import Answer, Shown
from bridge.worker import _put, image_of
about = json.loads(request)["image"]
image = image_of(pixels.ndarray(), about["pixel_size_nm"], about["frame_interval_s"])
nt, nz, nc, h, w = pixels.shape
t, z, c, y, x = np.ogrid[:nt, :nz, :nc, :h, :w]
v = (x + LEFT + 2 * (y + TOP) + 21 * c + 55 * z + 221 * t) % 251
u = (x + LEFT + 2 * (y + TOP) + 55 * z + 221 * t) % 251
rgb = np.where(c == 0, u, np.where(c == 1, 250 - u, u >> 1))
expected = {8: v, 16: v * 261, 24: rgb, 32: v / 8 - 3}[BITS]
same = bool((pixels.ndarray() == expected).all())
facts = [pixels.dtype, list(pixels.shape), list(image.dims), image.attrs, same]
_put(task, Answer(status="{}", lines=[json.dumps(facts)], images=[Shown("echo", image, (0.0, 1.0))]))
'''.replace("LEFT", source.box.x as int as String).replace("TOP", source.box.y as int as String)
        .replace("BITS", imp.bitDepth as String)
    def answer = client.worker().perform([command: "echo", values: [:], options: null], source, script)
    answer.facts = new groovy.json.JsonSlurper().parseText(answer.lines[0])
    client.class.classLoader.loadClass("ZooBridgeResults").show(answer, source, Thread.currentThread())
    return answer
}
def planes(imp) {
    (1..imp.stackSize).collect { imp.getStack().getProcessor(it).with { p -> [p.width, p.height, p.pixels.toList()] } }
}
