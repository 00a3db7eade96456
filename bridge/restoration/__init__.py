"""Image to image: pairs of widefield or confocal with STED, confocal or STORM images."""
