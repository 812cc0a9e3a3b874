import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
import java.nio.file.Files

/**
 * CSV files as qupath_her2/project/spreadsheet.py writes them: commas, cells in double quotes where they need it, UTF-8
 * with or without a byte order mark.
 */
@CompileStatic
class Her2Csv {

    /** Rows of a file by column name; the first line names the columns. A shorter row has "" in the others. */
    static List<Map<String, String>> read(File file, String remedy) {
        String text
        try {
            text = Files.readString(file.toPath(), StandardCharsets.UTF_8)
        } catch (IOException problem) {
            throw new Her2Refusal("'$file' cannot be read (${problem.message ?: problem}). $remedy")
        }
        List<List<String>> rows = rows(text.startsWith("\uFEFF") ? text.substring(1) : text)
        List<Map<String, String>> found = []
        for (List<String> row : rows.drop(1)) {
            Map<String, String> named = new LinkedHashMap<String, String>()
            for (int i = 0; i < rows[0].size(); i++)
                named.put(rows[0][i], i < row.size() ? row[i] : "")
            found.add(named)
        }
        return found
    }

    /** All rows of a text that are not empty. */
    static List<List<String>> rows(String text) {
        List<List<String>> found = []
        List<String> row = []
        StringBuilder cell = new StringBuilder()
        boolean isQuoted = false
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i)
            if (isQuoted && c == ('"' as char) && i + 1 < text.length() && text.charAt(i + 1) == ('"' as char)) {
                cell.append(c)
                i++
            } else if (c == ('"' as char)) {
                isQuoted = !isQuoted
            } else if (!isQuoted && (c == (',' as char) || c == ('\n' as char))) {
                row.add(cell.toString())
                cell.setLength(0)
                if (c == ('\n' as char)) {
                    add(found, row)
                    row = []
                }
            } else if (isQuoted || c != ('\r' as char)) {
                cell.append(c)
            }
        }
        row.add(cell.toString())
        add(found, row)
        return found
    }

    private static void add(List<List<String>> rows, List<String> row) {
        if (row.size() > 1 || !row[0].isEmpty())
            rows.add(row)
    }

    /** One line, without its end. */
    static String line(List<String> cells) {
        return cells.collect { String it ->
            it =~ /[",\r\n]/ ? "\"${it.replace('"', '""')}\"".toString() : it
        }.join(",")
    }
}
