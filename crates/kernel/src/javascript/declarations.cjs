"use strict";
module.exports = { resolve: () => undefined };
