"use strict";
// The slice browser. Each layer is one grey image holding every slice along z in a grid; its codes are read once
// into memory, so slices along any axis, and the value under the pointer, cost nothing more.
(function () {
  var source = document.getElementById("volumes");
  if (!source) { return; }
  var set = JSON.parse(source.textContent);
  var depth = set.box[0], height = set.box[1], width = set.box[2];
  var slider = document.getElementById("slice");
  var where = document.getElementById("where"), pointer = document.getElementById("pointer");
  var axis = 0;
  var position = set.start.slice();

  function codesOf(image) {
    var canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    var pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    var pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    var codes = new Uint8Array(depth * height * width);
    var at = 0;
    for (var z = 0; z < depth; z++) {
      var left = (z % set.columns) * width, top = Math.floor(z / set.columns) * height;
      for (var y = 0; y < height; y++) {
        var from = ((top + y) * canvas.width + left) * 4;
        for (var x = 0; x < width; x++, at++, from += 4) { codes[at] = pixels[from]; }
      }
    }
    return codes;
  }

  // Column and row (from the bottom) of a slice -> index of the voxel; rows point up, as in the figures.
  function voxel(column, row) {
    var at = position[axis];
    if (axis === 0) { return (at * height + row) * width + column; }
    if (axis === 1) { return (row * height + at) * width + column; }
    return (row * height + column) * width + at;
  }

  function size() {
    return axis === 0 ? [width, height] : axis === 1 ? [width, depth] : [height, depth];
  }

  // A pixel of the mask with a neighbour outside it.
  function onEdge(column, row, wide, high) {
    if (!mask[voxel(column, row)]) { return false; }
    return (column > 0 && !mask[voxel(column - 1, row)]) || (column < wide - 1 && !mask[voxel(column + 1, row)]) ||
      (row > 0 && !mask[voxel(column, row - 1)]) || (row < high - 1 && !mask[voxel(column, row + 1)]);
  }

  function draw(layer) {
    var wide = size()[0], high = size()[1];
    layer.canvas.width = wide;
    layer.canvas.height = high;
    var pen = layer.canvas.getContext("2d");
    var picture = pen.createImageData(wide, high);
    var to = 0;
    for (var row = high - 1; row >= 0; row--) {
      for (var column = 0; column < wide; column++, to += 4) {
        var edge = layer.outlined && onEdge(column, row, wide, high);
        var color = edge ? set.outline : layer.palette[layer.codes[voxel(column, row)]];
        picture.data[to] = color[0];
        picture.data[to + 1] = color[1];
        picture.data[to + 2] = color[2];
        picture.data[to + 3] = 255;
      }
    }
    pen.putImageData(picture, 0, 0);
  }

  function drawAll() {
    var count = set.box[axis];
    position[axis] = Math.max(0, Math.min(count - 1, position[axis]));
    // Numbers are those of the input's grid, as in the figures: the page shows a part of it, perhaps binned.
    var first = set.corner[axis] + position[axis] * set.factor + 1;
    var last = Math.min(first + set.factor - 1, set.grid[axis]);
    slider.min = set.corner[axis] + 1;
    slider.step = set.factor;
    slider.max = set.corner[axis] + (count - 1) * set.factor + 1;
    slider.value = first;
    var name = "zyx"[axis];
    var place = set.origin[2 - axis] + position[axis] * set.pixel_A;
    var said = last > first ? "slices " + first + " to " + last : "slice " + first;
    where.textContent = said + " of " + set.grid[axis] + ", " + name + " = " + place.toFixed(1) + " Å";
    slider.setAttribute("aria-valuetext", where.textContent);
    layers.forEach(draw);
    document.getElementById("browser").dataset.slice = name + position[axis];
  }

  function go(step) { position[axis] += step; drawAll(); }

  function look(number) {
    axis = number;
    document.getElementById("axis-" + "zyx"[number]).checked = true;
    drawAll();
  }

  function point(event) {
    var box = event.currentTarget.getBoundingClientRect();
    var wide = size()[0], high = size()[1];
    var column = Math.min(wide - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * wide)));
    var row = Math.min(high - 1, Math.max(0, high - 1 - Math.floor((event.clientY - box.top) / box.height * high)));
    layers.forEach(function (layer) {
      layer.value.textContent = layer.values[layer.codes[voxel(column, row)]];
    });
    var at = axis === 0 ? [column, row, position[0]] : axis === 1 ? [column, position[1], row] : [position[2], column, row];
    pointer.textContent = at.map(function (step, number) {
      return "xyz"[number] + " = " + (set.origin[number] + step * set.pixel_A).toFixed(1) + " Å";
    }).join(", ");
  }

  var layers = set.layers.map(function (layer, number) {
    var panel = document.getElementById("panel-" + number);
    return {
      palette: layer.palette, same: layer.palette, own: layer.own, values: layer.values, codes: null, image: panel.querySelector("img"),
      canvas: panel.querySelector("canvas"), value: panel.querySelector(".value"), outlined: layer.outlined
    };
  });
  var cover = document.getElementById("mask");
  var mask = null;

  function start() {
    layers.forEach(function (layer) { layer.codes = codesOf(layer.image); });
    if (cover) { mask = codesOf(cover); }
    slider.addEventListener("input", function () {
      position[axis] = Math.round((slider.value - 1 - set.corner[axis]) / set.factor);
      drawAll();
    });
    [0, 1, 2].forEach(function (number) {
      document.getElementById("axis-" + "zyx"[number]).addEventListener("change", function () { look(number); });
    });
    layers.forEach(function (layer) {
      layer.canvas.addEventListener("pointermove", point);
      layer.canvas.addEventListener("wheel", function (event) {
        event.preventDefault();
        go(event.deltaY > 0 ? 1 : -1);
      }, { passive: false });
    });
    document.addEventListener("cryores-colours", function (event) {
      layers.forEach(function (layer) { layer.palette = event.detail && layer.own || layer.same; });
      drawAll();
    });
    document.addEventListener("keydown", function (event) {
      if (event.ctrlKey || event.metaKey || event.altKey) { return; }
      var steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
      // Arrows and pages scroll the page and move the slider by themselves; only the browser's own are taken.
      var inside = document.activeElement && document.getElementById("browser").contains(document.activeElement);
      if (inside && event.key in steps && document.activeElement.type !== "radio") {
        event.preventDefault();
        go(steps[event.key]);
      } else if ("zyx".indexOf(event.key) >= 0 && event.key.length === 1) {
        look("zyx".indexOf(event.key));
      } else if (!inside && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
        go(steps[event.key]);
      }
    });
    drawAll();
  }

  var images = layers.map(function (layer) { return layer.image; }).concat(cover ? [cover] : []);
  Promise.all(images.map(function (image) { return image.decode(); })).then(start).catch(function () {
    where.textContent = "The slices in this file are damaged; make the report again.";
  });
})();
