# ----------------------------------------------------------------------------------------------------------- plots
#
# A program that plots without opening a device gets one that writes a PNG file per page and keeps a display list, as a
# screen does. So a page can be recorded, copied to a file, and drawn on in a later cell. The file of a page is empty until
# the next one begins or the device is closed. Complete pages are handed over when a new plot begins; at the end of a cell
# so is a copy of each page that is still open, if it has changed since it was shown.

devices <- NULL # copies of the functions of grDevices, once that is attached
plots <- file.path(tempdir(), "plots")
plot_copy <- file.path(tempdir(), "copy.png")
plot_devices <- list() # the numbers of those that were opened, by the begin of their files' names
plot_pages <- character() # the files of pages that were not complete when they were last looked at, as they were begun
plot_shown <- list() # by file: the picture of a page that is open, as it was shown last,
plot_recorded <- list() # and its display list

plot_setting <- function(name, default) {
  value <- getOption(name) # the names that notebooks use
  if (is.numeric(value) && length(value) == 1L && is.finite(value) && value > 0) value else default
}

plot_file <- function(file, width, height, resolution) {
  devices$png(file, type = "cairo", units = "in", width = width, height = height, res = resolution)
}

open_plot_device <- function(width = NULL, height = NULL, ...) {
  dir.create(plots, showWarnings = FALSE)
  prefix <- sprintf("%06d", length(plot_devices) + 1L)
  # 840 x 600 pixels: what fits a page of a notebook, sharp enough to read its labels.
  if (is.null(width)) width <- plot_setting("repr.plot.width", 7)
  if (is.null(height)) height <- plot_setting("repr.plot.height", 5)
  resolution <- plot_setting("repr.plot.res", 120)
  plot_file(file.path(plots, paste0(prefix, "-%06d.png")), width, height, resolution)
  devices$dev.control("enable")
  plot_devices[[prefix]] <<- list(
    number = devices$dev.cur(), width = width, height = height, resolution = resolution
  )
}

# The pages in the order in which they were begun.
list_plots <- function() {
  plot_pages <<- c(plot_pages, setdiff(sort(list.files(plots)), plot_pages))
  plot_pages
}

send_plot <- function(page, data) {
  if (identical(data, plot_shown[[page]])) return()
  plot_shown[[page]] <<- data
  send_result(c("image/png" = quote_json(base64(data))), FALSE, "plot")
}

read_plot <- function(file) {
  data <- readBin(file, "raw", file.size(file))
  unlink(file)
  data
}

send_complete <- function(page) {
  file <- file.path(plots, page)
  if (file.size(file) == 0) return(FALSE) # the page that is being drawn
  send_plot(page, read_plot(file))
  plot_pages <<- setdiff(plot_pages, page)
  plot_shown[[page]] <<- plot_recorded[[page]] <<- NULL
  TRUE
}

send_plots <- function(...) {
  if (length(plot_devices) == 0L || !is_ours()) return(invisible())
  suspendInterrupts(for (page in list_plots()) send_complete(page))
}

# Shows a page that stays open as it is now.
send_open <- function(page) {
  device <- plot_devices[[substr(page, 1L, 6L)]]
  current <- devices$dev.cur()
  tryCatch({
    devices$dev.set(device$number)
    record <- devices$recordPlot()
    if (is.null(record[[1L]])) stop("the display list is switched off")
    if (!identical(record[[1L]], plot_recorded[[page]])) {
      plot_file(plot_copy, device$width, device$height, device$resolution)
      tryCatch(devices$replayPlot(record), finally = devices$dev.off())
      plot_recorded[[page]] <<- record[[1L]]
      send_plot(page, read_plot(plot_copy))
    }
  }, error = function(e) {
    # What it has drawn is seen when it is closed.
    devices$dev.off(device$number)
    send_complete(page)
  })
  if (current %in% devices$dev.list()) devices$dev.set(current)
}

# The end of a cell.
finish_plots <- function() {
  if (length(plot_devices) == 0L || !is_ours()) return(invisible())
  for (page in list_plots()) if (!send_complete(page)) send_open(page)
}

# ---------------------------------------------------------------------------------------------- programs that wait
#
# Editors and windows wait for somebody who is not here; R's own functions say so instead.

no_editor <- function(name, file, title) stop("there is no editor here: assign a new value, or write the file", call. = FALSE)

replace_editors <- function(utils) {
  edit <- utils$edit.default
  formals(edit)$editor <- quote(getOption("editor"))
  body(edit) <- quote(no_editor())
  environment(edit) <- list2env(list(no_editor = no_editor), parent = utils)
  replace_function(utils, "edit.default", edit)
  for (name in c("vi", "vim", "emacs", "pico", "xemacs", "xedit")) {
    if (exists(name, utils, inherits = FALSE)) replace_function(utils, name, function(...) no_editor())
  }
}

# A choice by its number, asked for as `readline` asks; 0 without an answer.
choose <- function(choices, graphics = FALSE, title = NULL) {
  if (length(choices) == 0L) return(0L)
  if (!is.null(title) && any(nzchar(title))) cat(title, "", sep = "\n")
  cat(paste0(format(seq_along(choices)), ": ", choices), "", sep = "\n")
  repeat {
    line <- ask("Selection: ")
    if (is.null(line)) return(0L)
    number <- suppressWarnings(as.integer(line))
    if (!is.na(number) && number >= 0L && number <= length(choices)) return(number)
    text <- match(trimws(line), choices)
    if (!is.na(text)) return(text)
    cat("Enter an item from the menu, or 0 to exit\n")
  }
}

select <- function(choices, preselect = NULL, multiple = FALSE, title = NULL, graphics = FALSE) {
  number <- choose(choices, title = title)
  if (number > 0L) choices[[number]] else if (multiple) character() else ""
}

replace_questions <- function(utils) {
  replace_function(utils, "menu", choose)
  replace_function(utils, "select.list", select)
}

# In the namespace of a package and where it is attached.
replace_function <- function(namespace, name, value) {
  replace_in(namespace, name, value)
  attached <- paste0("package:", getNamespaceName(namespace))
  if (attached %in% search() && exists(name, as.environment(attached), inherits = FALSE)) {
    replace_in(as.environment(attached), name, value)
  }
}

