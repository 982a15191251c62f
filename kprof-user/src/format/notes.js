"use strict";
// Breaks kprof's words anew to fit the window, and moves what lies below them. inferno's script sees to the
// frames and reads no place that is changed here.
(function () {
    var LINE = 17, TITLE_LINE = 20, MARGIN = 10, BUTTON = 90, CHARACTERS = 150;
    var svg, title, notes, below, first, last, height;

    function setup() {
        svg = document.getElementsByTagName("svg")[0];
        title = document.getElementById("title");
        notes = Array.from(document.querySelectorAll(".note"));
        var lines = document.querySelectorAll(".note > tspan");
        first = Number(lines[0].getAttribute("y"));
        last = Number(lines[lines.length - 1].getAttribute("y"));
        height = Number(svg.getAttribute("height"));
        below = ["frames", "details", "matched"].map(function (id) {
            return document.getElementById(id);
        }).filter(Boolean).map(function (element) {
            return { element: element, y: Number(element.getAttribute("y")) };
        });
        svg.removeAttribute("width");
        svg.removeAttribute("viewBox");
        lay();
        window.addEventListener("resize", lay);
    }

    // Lines of at most `limit` characters; a word that is longer is cut.
    function broken(text, limit) {
        var lines = [""];
        text.split(/\s+/).filter(Boolean).forEach(function (word) {
            var line = lines[lines.length - 1];
            if (line && line.length + 1 + word.length > limit) lines.push("");
            else if (line) word = " " + word;
            while (word.length > limit) {
                lines[lines.length - 1] += word.slice(0, limit);
                lines.push("");
                word = word.slice(limit);
            }
            lines[lines.length - 1] += word;
        });
        return lines;
    }

    // Puts lines into an element, the first one at `y`; says where the next one would be.
    function put(element, lines, x, y, step) {
        element.textContent = "";
        lines.forEach(function (line, i) {
            var part = document.createElementNS("http://www.w3.org/2000/svg", "tspan");
            part.setAttribute("x", x);
            part.setAttribute("y", y);
            part.textContent = i + 1 < lines.length ? line + " " : line;
            element.appendChild(part);
            y += step;
        });
        return y;
    }

    function character(element) {
        return element.getComputedTextLength() / element.textContent.length;
    }

    function lay() {
        var width = svg.width.baseVal.value - 2 * MARGIN;
        var size = character(notes[0]);
        // Not laid out, as in a hidden page.
        if (!(size > 0) || !(width > 0)) return;
        var y = first;
        if (title) {
            var words = title.textContent, wide = character(title);
            if (words.length * wide <= width - 2 * BUTTON) {
                put(title, [words], "50%", 24, TITLE_LINE);
            } else {
                // Below the buttons there is all of the width.
                var lines = broken(words, Math.max(1, Math.floor(width / wide)));
                y += put(title, lines, "50%", 24 + TITLE_LINE, TITLE_LINE) - 24 - TITLE_LINE;
            }
        }
        var limit = Math.max(1, Math.min(CHARACTERS, Math.floor(width / size)));
        notes.forEach(function (note) {
            y = put(note, broken(note.textContent, limit), MARGIN, y, LINE);
        });
        var down = y - LINE - last;
        below.forEach(function (moved) {
            moved.element.setAttribute("y", moved.y + down);
        });
        svg.setAttribute("height", height + down);
    }

    window.addEventListener("load", setup);
})();
