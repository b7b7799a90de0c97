# ---------------------------------------------------------------------------------------------------------- values

rows_shown <- 60L # of a table as HTML; as many as pandas shows
columns_shown <- 40L # more than that is wider than any screen

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
  html <- tryCatch(html_of(value), error = function(e) NULL)
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

table_html <- function(table) {
  size <- dim(table)
  rows <- shown(size[[1L]], rows_shown)
  columns <- shown(size[[2L]], columns_shown)
  part <- as.data.frame(table)[rows[!is.na(rows)], columns[!is.na(columns)], drop = FALSE]
  gap_row <- function(cells) if (anyNA(rows)) append(cells, "\u22ee", which(is.na(rows)) - 1L) else cells
  gap_column <- function(cells) if (anyNA(columns)) append(cells, list("\u22ef"), which(is.na(columns)) - 1L) else cells
  cell <- function(column) {
    # Factors, dates and lists as they print; numbers with the digits that the whole column needs.
    text <- if (is.character(column)) column
      else if (is.list(column)) vapply(column, function(item) paste(format(item), collapse = ", "), "")
      else format(column)
    if (length(dim(text)) == 2L) text <- apply(text, 1L, paste, collapse = " ")
    text[is.na(text)] <- "NA"
    escape_html(trimws(text))
  }
  cells <- gap_column(lapply(seq_along(part), function(i) gap_row(cell(part[[i]]))))
  row_names <- gap_row(escape_html(row.names(part)))
  heads <- unlist(gap_column(as.list(escape_html(names(part)))))
  head <- paste0("<tr><th></th>", paste0("<th>", heads, "</th>", collapse = ""), "</tr>")
  body <- do.call(paste0, c(
    list("<tr><th>", row_names, "</th>"),
    unlist(lapply(cells, function(column) list("<td>", column, "</td>")), recursive = FALSE),
    list("</tr>")
  ))
  if (size[[1L]] == 0L) body <- character()
  note <- if (anyNA(c(rows, columns))) sprintf("\n<p>%d rows \u00d7 %d columns</p>", size[[1L]], size[[2L]]) else ""
  paste0(
    "<table class=\"dataframe\">\n<thead>\n", head, "\n</thead>\n<tbody>\n",
    paste(body, collapse = "\n"), "\n</tbody>\n</table>", note
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

