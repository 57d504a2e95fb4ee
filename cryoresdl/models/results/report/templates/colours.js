"use strict";
// The switch of the colours of resolutions: the style sheet's variables and the pictures follow a class of the page, the
// slice browser and the surface an event.
(function () {
  document.querySelectorAll("input[name=colours]").forEach(function (choice) {
    choice.addEventListener("change", function () {
      var own = document.getElementById("colours-own").checked;
      document.documentElement.classList.toggle("own-colours", own);
      document.dispatchEvent(new CustomEvent("cryores-colours", { detail: own }));
    });
  });
})();
