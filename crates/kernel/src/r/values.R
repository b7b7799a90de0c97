# ---------------------------------------------------------------------------------------------------------- values

# Of a table as HTML: as many rows as pandas shows, and no more columns than a wide screen. Options by the names that
# notebooks use say otherwise.
rows_shown <- function() table_setting("repr.matrix.max.rows", 60L)
columns_shown <- function() table_setting("repr.matrix.max.cols", 40L)

table_setting <- function(name, default) {
  value <- getOption(name)
  if (is.numeric(value) && length(value) == 1L && is.finite(value) && value >= 2) as.integer(value) else default
}

# What the function prints.
capture <- function(print_it) {
  sunk <- rawConnection(raw(), "wb")
  depth <- sink.number() + 1L
  sink(sunk)
  on.exit({
    while (sink.number() >= depth) sink()
    close(sunk)
  })
  print_it()
  while (sink.number() >= depth) sink() # a program's own ones on top of ours go with it
  text <- rawToChar(drop_nul(rawConnectionValue(sunk)))
  Encoding(text) <- "UTF-8"
  text
}

# As the prompt prints it.
print_value <- function(value) if (isS4(value)) methods::show(value) else print(value)

# Hands over the last value of a cell.
show_main <- function(value) {
  if (sink.number() > 0L || !is_ours()) return(print_value(value)) # the program wants it elsewhere
  text <- sub("\n$", "", allowInterrupts(capture(function() print_value(value))))
  if (!nzchar(text)) return(invisible()) # a plot, or a print method that prints nothing
  data <- c("text/plain" = quote_json(text))
  # Its methods may fail, print, warn or take long.
  html <- NULL
  allowInterrupts(suppressWarnings(capture(function() html <<- tryCatch(html_of(value), error = function(e) NULL))))
  if (!is.null(html)) data <- c(data, "text/html" = quote_json(html))
  send_result(data, TRUE, class(value)[[1L]])
}

send_result <- function(data, main, what) {
  frame <- function(data) object_json(c(
    type = "\"result\"", nonce = quote_json(nonce), main = if (main) "true" else "false", data = object_json(data)
  ))
  text <- frame(data)
  size <- nchar(text, "bytes")
  if (size > frame_limit) {
    note <- sprintf("%s of %d bytes (%s): too large to show", what, size, paste(names(data), collapse = ", "))
    text <- frame(c("text/plain" = quote_json(note)))
  }
  send(text)
}

escape_html <- function(text) {
  text <- gsub("&", "&amp;", text, fixed = TRUE)
  text <- gsub("<", "&lt;", text, fixed = TRUE)
  gsub(">", "&gt;", text, fixed = TRUE)
}

# The value's own HTML (a table of htmltools, knitr and others), or a table's.
html_of <- function(value) {
  if (inherits(value, c("html", "shiny.tag", "shiny.tag.list"))) return(paste(as.character(value), collapse = "\n"))
  if (is.data.frame(value) && length(dim(value)) == 2L) return(table_html(value))
  if (is.matrix(value) && is.atomic(value) && !inherits(value, "table")) return(table_html(as.data.frame(value)))
  NULL
}

# The first and the last of `count`, with a gap (NA) where some are left out.
shown <- function(count, limit) {
  if (count <= limit) return(seq_len(count))
  half <- limit %/% 2L
  c(seq_len(half), NA, seq.int(count - half + 1L, count))
}

# The same cells as the text has: R's own formats of factors, dates, lists and tables within the table.
table_html <- function(table) {
  size <- dim(table)
  rows <- shown(size[[1L]], rows_shown())
  columns <- shown(size[[2L]], columns_shown())
  part <- as.data.frame(table)[rows[!is.na(rows)], columns[!is.na(columns)], drop = FALSE]
  text <- as.matrix(format.data.frame(part, na.encode = FALSE))
  text[is.na(text)] <- "<NA>" # as R prints it, so that it is not the text "NA"
  # A column that is a table has become several.
  gap <- function(cells, at) if (anyNA(at)) append(cells, "\u2026", length(cells) %/% 2L) else cells
  wide <- shown(ncol(text), columns_shown())
  text <- text[, wide[!is.na(wide)], drop = FALSE]
  gaps <- if (anyNA(wide)) wide else columns
  tag <- function(name, cells) paste0("<", name, ">", escape_html(trimws(cells)), "</", name, ">")
  names <- gap(colnames(text), gaps)
  head <- paste0("<tr><th></th>", paste0("<th>", escape_html(names), "</th>", collapse = ""), "</tr>")
  lines <- vapply(seq_len(nrow(text)), function(i) {
    paste0("<tr>", tag("th", row.names(part)[[i]]), paste0(tag("td", gap(text[i, ], gaps)), collapse = ""), "</tr>")
  }, "")
  if (anyNA(rows)) {
    dots <- paste0("<tr><th>\u22ee</th>", strrep("<td>\u22ee</td>", length(names)), "</tr>")
    lines <- append(lines, dots, which(is.na(rows)) - 1L)
  }
  note <- if (anyNA(c(rows, gaps))) sprintf("\n<p>%d rows \u00d7 %d columns</p>", size[[1L]], size[[2L]]) else ""
  paste0(
    "<table class=\"dataframe\">\n<thead>\n", head, "\n</thead>\n<tbody>\n",
    paste(lines, collapse = "\n"), "\n</tbody>\n</table>", note
  )
}

alphabet <- charToRaw("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

base64 <- function(data) {
  size <- length(data)
  bytes <- matrix(c(as.integer(data), rep(0L, (3L - size %% 3L) %% 3L)), 3L)
  out <- alphabet[1L + rbind(
    bytes[1L, ] %/% 4L,
    bytes[1L, ] %% 4L * 16L + bytes[2L, ] %/% 16L,
    bytes[2L, ] %% 16L * 4L + bytes[3L, ] %/% 64L,
    bytes[3L, ] %% 64L
  )]
  missing <- (3L - size %% 3L) %% 3L
  if (missing > 0L) out[length(out) - seq_len(missing) + 1L] <- charToRaw("=")
  rawToChar(out)
}

