"use strict";
// The surface: 3Dmol.js turns it, this script feeds it. Volumes are bytes with x slowest; a code of a colour is a value
// in angstroms, on a logarithmic scale from 1 to 40 for resolutions and a linear one from 0 to three times the top else.
(function () {
  var source = document.getElementById("surface-data");
  if (!source) { return; }
  var set = JSON.parse(source.textContent);
  var stage = document.getElementById("surface-stage");
  var note = document.getElementById("surface-note");
  var get = function (name) { return document.getElementById("surface-" + name); };
  var level = get("level"), low = get("low"), high = get("high"), choice = get("choice");
  var own = false, waiting = false, layer = 0, shape = null, viewer = null;

  function volume(text) {
    var raw = atob(text), data = new Float32Array(raw.length);
    for (var at = 0; at < raw.length; at++) { data[at] = raw.charCodeAt(at); }
    var made = new $3Dmol.VolumeData("", "none");
    made.size = { x: set.size[0], y: set.size[1], z: set.size[2] };
    made.unit = { x: set.voxel_A, y: set.voxel_A, z: set.voxel_A };
    made.origin = { x: 0, y: 0, z: 0 };
    made.matrix = null;
    made.data = data;
    return made;
  }

  var density = null, colours = [];

  function ends() {
    return [parseFloat(low.value), parseFloat(high.value)];
  }

  function valueOf(code, now) {
    if (code < 1) { return 0; }
    var part = (code - 1) / 254;
    return now.log ? Math.pow(40, part) : part * 3 * now.high;
  }

  function scheme() {
    var now = set.layers[layer], between = ends(), last = now.palette.length - 1;
    var hexes = now.palette.map(function (text) { return parseInt(text.slice(1), 16); });
    return {
      range: function () { return between; },
      valueToHex: function (code) {
        var value = valueOf(code, now);
        if (!value) { return 0xb8b8b8; }
        var part = now.log ? Math.log(value / between[0]) / Math.log(between[1] / between[0])
                           : (value - between[0]) / (between[1] - between[0]);
        return hexes[Math.max(0, Math.min(last, Math.round(part * last)))];
      }
    };
  }

  function draw() {
    waiting = false;
    var between = ends();
    get("says").textContent = set.layers[layer].title + ", " + between[0].toFixed(1) + " to " + between[1].toFixed(1) + " Å";
    get("bar").style.background = "linear-gradient(90deg," + set.layers[layer].palette.join(",") + ")";
    if (shape) { viewer.removeShape(shape); }
    shape = viewer.addIsosurface(density, {
      isoval: parseFloat(level.value), voldata: colours[layer], volscheme: scheme(), smoothness: 1, opacity: 1
    });
    viewer.render();
    stage.dataset.drawn = (parseInt(stage.dataset.drawn || "0", 10) + 1).toString();
  }

  function soon() {
    if (!waiting) { waiting = true; window.setTimeout(draw, 60); }
  }

  function choose() {
    layer = choice.selectedIndex;
    var now = set.layers[layer], top = now.log ? 20 : 2 * now.high;
    [low, high].forEach(function (one) { one.min = now.log ? 1 : 0; one.max = top; one.step = 0.01; });
    low.value = own ? now.own_low : now.low;
    high.value = own ? now.own_high : now.high;
    soon();
  }

  function start() {
    try {
      viewer = $3Dmol.createViewer(stage, { backgroundColor: "white", antialias: true });
      density = volume(set.density);
      colours = set.layers.map(function (one) { return volume(one.codes); });
      level.value = set.level;
      choose();
      draw();
      viewer.zoomTo();
      viewer.render();
      [level, low, high].forEach(function (one) {
        one.addEventListener("input", function () {
          if (parseFloat(high.value) <= parseFloat(low.value)) { high.value = parseFloat(low.value) + 0.1; }
          soon();
        });
      });
      document.addEventListener("cryores-colours", function (event) { own = event.detail; choose(); });
      choice.addEventListener("change", choose);
      window.cryoresSurface = viewer;
    } catch (problem) {
      stage.hidden = true;
      note.textContent = "This browser shows no three-dimensional pictures (WebGL); the slices below show the same.";
    }
  }

  // After everything else is there: the page is read while the surface is made.
  window.addEventListener("load", function () { window.setTimeout(start, 30); });
})();
