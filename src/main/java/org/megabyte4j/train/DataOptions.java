package org.megabyte4j.train;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.LongConsumer;
import java.util.stream.Stream;
import org.megabyte4j.data.CorpusSource;
import org.megabyte4j.data.DemoText;
import org.megabyte4j.data.Sampling;
import org.megabyte4j.data.TrainingData;

/**
 * Which data a run learns from, as a user names it.
 *
 * @param data          files and folders; {@code demo} for {@link DemoText}
 * @param globs         which files of folders and entries of zip files; all if empty
 * @param validData     files and folders to validate on; if empty, a part of {@code data} is held out
 * @param validFraction the share held out, from 0 up to but not including 1
 * @param sampling      how batches are drawn
 */
public record DataOptions(
        @JsonProperty("data") List<String> data,
        @JsonProperty("glob") List<String> globs,
        @JsonProperty("valid_data") List<String> validData,
        @JsonProperty("valid_fraction") double validFraction,
        @JsonProperty("sampling") Sampling sampling) {

    /** @throws TrainException if there is no data, or the fraction is none */
    public DataOptions {
        if (data.isEmpty()) {
            throw new TrainException("no data is named; use --data FILE_OR_FOLDER, or --data demo for the source code"
                    + " that comes with Java");
        }
        if (data.contains(DEMO) && data.size() > 1) {
            throw new TrainException("--data demo cannot be mixed with other data; name one or the other");
        }
        if (!(validFraction >= 0 && validFraction < 1)) {
            throw new TrainException("--valid-fraction " + validFraction + " is not at least 0 and less than 1; 0.05 is"
                    + " usual");
        }
        data = List.copyOf(data);
        globs = List.copyOf(globs);
        validData = List.copyOf(validData);
    }

    /** What stands for the text that every JDK has. */
    public static final String DEMO = "demo";

    /** Of this project, for a JDK without sources. */
    private static final Path OWN_SOURCES = Path.of("src", "main", "java");

    /** Over so many places of the data the held-out share is spread. */
    private static final int PIECES = 10;

    /**
     * Opens the data; the caller closes it.
     *
     * @param cacheFolder for data that is not a single plain file; see {@link org.megabyte4j.data.Corpus#open}
     * @param eosId       the id between documents
     * @param progress    hears from time to time how many bytes have been read
     * @throws org.megabyte4j.data.DataException if it cannot be used
     */
    public TrainingData open(Path cacheFolder, int eosId, LongConsumer progress) {
        CorpusSource training = source(data);
        return validData.isEmpty() ? TrainingData.split(training, validFraction, PIECES, cacheFolder, eosId, progress)
                : TrainingData.separate(training, source(validData), cacheFolder, eosId, progress);
    }

    /** The folder of the data in which a file lies, so that it is a part of the data, unless globs choose the files. */
    public Optional<Path> folderAround(Path file) {
        Path absolute = file.toAbsolutePath().normalize();
        return Stream.concat(data.stream(), validData.stream()).filter(name -> globs.isEmpty() && !name.equals(DEMO))
                .map(DataOptions::path).filter(Files::isDirectory)
                .filter(folder -> absolute.startsWith(folder.toAbsolutePath().normalize())).findFirst();
    }

    private CorpusSource source(List<String> names) {
        if (names.contains(DEMO)) {
            CorpusSource demo = DemoText.find(OWN_SOURCES).source();
            return globs.isEmpty() ? demo : new CorpusSource(demo.paths(), globs);
        }
        return new CorpusSource(names.stream().map(DataOptions::path).toList(), globs);
    }

    private static Path path(String name) {
        try {
            return Path.of(name);
        } catch (InvalidPathException e) {
            throw new TrainException("--data " + name + " is not a path: " + e.getReason(), e);
        }
    }
}
