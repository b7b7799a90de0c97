# ----------------------------------------------------------------------------------------------------------- plots
#
# A program that plots without opening a device gets one that writes a PNG file per page. A page is complete when the
# next one begins or the device is closed: until then its file is empty. Complete ones are handed over when a new plot begins
# and at the end of the cell, which closes the device.

plots <- file.path(tempdir(), "plots")
plot_device <- 0L
plot_files <- 0L # how many devices there were: each has names of its own

open_plot_device <- function(...) {
  setting <- function(name, default) {
    value <- getOption(name) # the names that notebooks use
    if (is.numeric(value) && length(value) == 1L && is.finite(value) && value > 0) value else default
  }
  dir.create(plots, showWarnings = FALSE)
  plot_files <<- plot_files + 1L
  grDevices::png(
    file.path(plots, sprintf("%06d-%%06d.png", plot_files)), type = "cairo", units = "in",
    # 840 x 600 pixels: what fits a page of a notebook, sharp enough to read its labels.
    width = setting("repr.plot.width", 7), height = setting("repr.plot.height", 5), res = setting("repr.plot.res", 120)
  )
  plot_device <<- grDevices::dev.cur()
}

send_plots <- function(...) {
  if (plot_files == 0L || !is_ours()) return(invisible())
  suspendInterrupts(for (name in sort(list.files(plots, full.names = TRUE))) {
    data <- readBin(name, "raw", file.size(name))
    if (length(data) == 0L) next # the page that is being drawn
    unlink(name)
    send_result(c("image/png" = quote_json(base64(data))), FALSE, "plot")
  })
}

# The end of a cell: what was drawn is complete.
finish_plots <- function() {
  if (plot_files == 0L || !is_ours()) return(invisible())
  if (plot_device %in% grDevices::dev.list()) grDevices::dev.off(plot_device)
  plot_device <<- 0L
  send_plots()
}

