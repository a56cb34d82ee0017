package org.megabyte4j.data;

import java.nio.file.Path;
import java.util.List;

/**
 * Where a corpus comes from: files and folders, in the order given.
 *
 * <p>A folder is read with all folders below it, links followed, children in the order of their names; names that begin
 * with a dot are left out, and a folder that links reach twice is read once. A file whose name ends in {@code .gz} or
 * {@code .zst} is decompressed, one that ends in {@code .zip} stands for its entries, in the order that a folder with
 * the same names would have; anything else is taken as it is. Each file and each entry is a document. Documents without
 * a byte are left out; all others are joined by one eos id.
 *
 * @param paths files and folders
 * @param globs which files of folders and entries of zip files belong to the corpus: those whose name, relative to the
 *              path given and with {@code /}, matches one of these; all if there are none. {@code *} and {@code ?} stop
 *              at a {@code /}, {@code **} does not, and {@code **}{@code /} is also nothing; {@code {a,b}} and
 *              {@code [a-z]} are choices. A file that is named itself always belongs
 */
public record CorpusSource(List<Path> paths, List<String> globs) {
    /** @throws DataException if there is no path, or a glob is malformed */
    public CorpusSource {
        if (paths.isEmpty()) {
            throw new DataException("no data was named; name a file or a folder");
        }
        paths = List.copyOf(paths);
        globs = List.copyOf(globs);
        globs.forEach(Glob::new);
    }

    /** Everything in these files and folders. */
    public static CorpusSource of(Path... paths) {
        return new CorpusSource(List.of(paths), List.of());
    }
}
