package org.megabyte4j.checkpoint;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.MegabyteConfig;

/**
 * The folder of a training run:
 *
 * <pre>
 * config.json, model.safetensors,
 * trainer.json                       of the newest checkpoint, for generate, eval and other programs
 * checkpoints/step-00001000/         config.json, model.safetensors, optimizer.safetensors, trainer.json, manifest.json
 * metrics.jsonl, loss.png, ...       the trainer's own; see {@link #file}
 * .lock                              held while a process trains here
 * </pre>
 *
 * <p>A checkpoint is written to a folder aside, every file forced to the disk, and renamed as a whole, so that a kill
 * at any moment leaves the last good one. Its manifest lists size and CRC-32C of each file, so that damage is noticed.
 * The files at the top are hard links to the newest checkpoint's, or copies where the file system has no links.
 *
 * <p>One process may have a run folder open. Not thread-safe.
 */
public final class RunFolder implements AutoCloseable {
    private static final String CHECKPOINTS = "checkpoints";
    private static final Pattern STEP = Pattern.compile("step-(\\d{8,18})");
    private static final String WRITING = ".writing-";
    private static final String REPLACED = ".replaced-";
    private static final String DELETED = ".deleted-";
    private static final List<String> PUBLISHED = List.of(Checkpoint.CONFIG, Checkpoint.MODEL, Checkpoint.TRAINER);

    private final Path path;
    private final FileChannel lockFile;

    private RunFolder(Path path, FileChannel lockFile) {
        this.path = path;
        this.lockFile = lockFile;
    }

    /**
     * A folder for a new run, made if it is not there.
     *
     * @throws CheckpointException if it already holds a run, is in use by another process, or cannot be written
     */
    public static RunFolder create(Path path) {
        RunFolder run = locked(path);
        try {
            OptionalLong newest = run.newestStep();
            if (newest.isPresent()) {
                throw new CheckpointException(path + " already holds a run with a checkpoint of step "
                        + newest.getAsLong() + "; continue it with --resume, or choose another folder");
            }
            if (Files.exists(path.resolve(Checkpoint.MODEL))) {
                throw new CheckpointException(path + " already holds a model (" + Checkpoint.MODEL
                        + ") that a new run would overwrite; choose another folder");
            }
            return run;
        } catch (RuntimeException | Error e) {
            run.close();
            throw e;
        }
    }

    /**
     * The folder of a run that shall be continued, cleaned of what a killed process may have left.
     *
     * @throws CheckpointException if there is no such folder, it is in use by another process, or cannot be written
     */
    public static RunFolder open(Path path) {
        if (!Files.isDirectory(path)) {
            throw new CheckpointException("there is no run folder " + path + " to resume from");
        }
        return locked(path);
    }

    private static RunFolder locked(Path path) {
        try {
            if (Files.exists(path) && !Files.isDirectory(path)) {
                throw new CheckpointException("the run folder " + path + " cannot be used: it is a file");
            }
            Files.createDirectories(path.resolve(CHECKPOINTS));
            FileChannel lockFile = FileChannel.open(path.resolve(".lock"), StandardOpenOption.CREATE,
                    StandardOpenOption.WRITE);
            if (!lock(lockFile)) {
                lockFile.close();
                throw new CheckpointException("the run folder " + path + " is in use by another process; wait until it"
                        + " ends, or choose another folder");
            }
            RunFolder run = new RunFolder(path, lockFile);
            run.clean();
            return run;
        } catch (IOException e) {
            throw new CheckpointException("the run folder " + path + " cannot be used: " + DurableFiles.reason(e), e);
        }
    }

    private static boolean lock(FileChannel file) throws IOException {
        try {
            FileLock lock = file.tryLock();
            return lock != null;
        } catch (OverlappingFileLockException e) {
            return false;
        }
    }

    public Path path() {
        return path;
    }

    /** A file of the trainer's own, such as {@code metrics.jsonl}. */
    public Path file(String name) {
        return path.resolve(name);
    }

    /** The steps of all checkpoints, oldest first, damaged ones included. */
    public List<Long> steps() {
        List<Long> steps = new ArrayList<>();
        try {
            for (Path folder : list(path.resolve(CHECKPOINTS))) {
                Matcher name = STEP.matcher(folder.getFileName().toString());
                if (name.matches() && Files.isDirectory(folder)) {
                    steps.add(Long.parseLong(name.group(1)));
                }
            }
        } catch (IOException e) {
            throw new CheckpointException("the run folder " + path + " cannot be read: " + DurableFiles.reason(e), e);
        }
        steps.sort(Comparator.naturalOrder());
        return steps;
    }

    private OptionalLong newestStep() {
        return steps().stream().mapToLong(Long::longValue).max();
    }

    private Path folder(long step) {
        return path.resolve(CHECKPOINTS).resolve(String.format(Locale.ROOT, "step-%08d", step));
    }

    /**
     * Writes a checkpoint, shows it at the top of the run folder, and deletes all but the newest {@code keep}. A
     * checkpoint of the same step is replaced.
     *
     * @param step steps done so far
     * @param keep checkpoints to keep, at least 1
     * @throws CheckpointException if it cannot be written (disk full, folder gone or read-only); the older checkpoints
     *                             stay as they were
     */
    public void save(long step, CheckpointContents contents, int keep) {
        if (step < 0 || keep < 1) {
            throw new IllegalArgumentException("step " + step + " must not be negative, keep " + keep + " not below 1");
        }
        Path folder = folder(step);
        Path aside = folder.resolveSibling(WRITING + folder.getFileName());
        Path replaced = folder.resolveSibling(REPLACED + folder.getFileName());
        try {
            DurableFiles.delete(aside);
            write(aside, step, contents);
            if (Files.exists(folder)) {
                DurableFiles.delete(replaced);
                Files.move(folder, replaced, StandardCopyOption.ATOMIC_MOVE);
            }
            Files.move(aside, folder, StandardCopyOption.ATOMIC_MOVE);
            DurableFiles.forceFolder(folder.getParent());
            DurableFiles.delete(replaced);
        } catch (IOException e) {
            throw new CheckpointException("the checkpoint of step " + step + " cannot be written to " + path + ": "
                    + DurableFiles.reason(e) + whatIsKept(), e);
        } finally {
            DurableFiles.deleteQuietly(aside);
        }
        try {
            publish(folder);
            prune(keep);
        } catch (IOException e) {
            throw new CheckpointException("the checkpoint of step " + step + " is safe in " + folder + ", but " + path
                    + " cannot be brought up to date: " + DurableFiles.reason(e), e);
        }
    }

    private String whatIsKept() {
        try {
            OptionalLong newest = newestStep();
            return newest.isPresent() ? "; the checkpoint of step " + newest.getAsLong() + " is kept" : "";
        } catch (CheckpointException e) {
            return "";
        }
    }

    private static void write(Path folder, long step, CheckpointContents contents) throws IOException {
        var model = new SafeTensorsWriter(contents.model(), Map.of("format", "pt"));
        var optimizer = new SafeTensorsWriter(contents.optimizer(), Map.of());
        byte[] config = ConfigJson.write(contents.config()).getBytes(StandardCharsets.UTF_8);
        byte[] trainer = Json.write(contents.trainer());
        DurableFiles.requireSpace(folder.getParent(),
                model.bytes() + optimizer.bytes() + config.length + trainer.length);
        Files.createDirectory(folder);
        Manifest manifest = Manifest.of(folder, step);
        manifest.write(Checkpoint.CONFIG, DurableFiles.content(config));
        manifest.write(Checkpoint.MODEL, model::write);
        manifest.write(Checkpoint.OPTIMIZER, optimizer::write);
        manifest.write(Checkpoint.TRAINER, DurableFiles.content(trainer));
        manifest.write();
        DurableFiles.forceFolder(folder);
    }

    /** Shows a checkpoint's model at the top of the run folder. */
    private void publish(Path folder) throws IOException {
        for (String name : PUBLISHED) {
            Path shown = path.resolve(name);
            Path source = folder.resolve(name);
            if (Files.exists(shown) && Files.isSameFile(shown, source)) {
                continue;
            }
            Path aside = aside(name);
            Files.deleteIfExists(aside);
            try {
                Files.createLink(aside, source);
            } catch (UnsupportedOperationException | IOException e) {
                Files.copy(source, aside, StandardCopyOption.REPLACE_EXISTING);
            }
            Files.move(aside, shown, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        }
        DurableFiles.forceFolder(path);
    }

    private Path aside(String published) {
        return path.resolve("." + published + ".tmp");
    }

    private void prune(int keep) throws IOException {
        List<Long> steps = steps();
        for (long step : steps.subList(0, Math.max(0, steps.size() - keep))) {
            Path folder = folder(step);
            // Renamed first, so that a kill while deleting leaves no half checkpoint under a good name.
            Path aside = folder.resolveSibling(DELETED + folder.getFileName());
            Files.move(folder, aside, StandardCopyOption.ATOMIC_MOVE);
            DurableFiles.delete(aside);
        }
    }

    /**
     * The newest checkpoint whose files are all there and undamaged.
     *
     * @param notice gets a sentence for each newer one that is damaged
     * @return empty if no checkpoint was ever completed
     * @throws CheckpointException if there are checkpoints and all are damaged
     */
    public Optional<Checkpoint> latest(Consumer<String> notice) {
        List<Long> steps = steps().reversed();
        List<String> faults = new ArrayList<>();
        for (long step : steps) {
            try {
                Checkpoint checkpoint = read(step);
                for (String fault : faults) {
                    notice.accept(fault + "; the older checkpoint of step " + step
                            + " is still good, and the run continues from there");
                }
                return Optional.of(checkpoint);
            } catch (MegabyteException e) {
                faults.add("the checkpoint of step " + step + " is damaged: " + e.getMessage());
            }
        }
        if (steps.isEmpty()) {
            return Optional.empty();
        }
        throw new CheckpointException("no checkpoint in " + path + " is usable: " + String.join("; ", faults)
                + "; start a new run in another folder");
    }

    private Checkpoint read(long step) {
        Path folder = folder(step);
        Manifest.read(folder).verify(step);
        try {
            MegabyteConfig config = ConfigJson.read(Files.readString(folder.resolve(Checkpoint.CONFIG)),
                    folder.resolve(Checkpoint.CONFIG).toString());
            Checkpoint checkpoint = new Checkpoint(step, folder, config, Json.read(folder.resolve(Checkpoint.TRAINER)));
            publish(folder);
            return checkpoint;
        } catch (IOException e) {
            throw new CheckpointException(folder + " cannot be read: " + DurableFiles.reason(e), e);
        }
    }

    /** Deletes what a killed process left, and puts back a checkpoint that it had moved away to replace. */
    private void clean() throws IOException {
        for (Path file : list(path.resolve(CHECKPOINTS))) {
            String name = file.getFileName().toString();
            if (name.startsWith(REPLACED)) {
                Path folder = file.resolveSibling(name.substring(REPLACED.length()));
                if (!Files.exists(folder)) {
                    Files.move(file, folder, StandardCopyOption.ATOMIC_MOVE);
                }
            }
            if (name.startsWith(WRITING) || name.startsWith(DELETED) || name.startsWith(REPLACED)) {
                DurableFiles.delete(file);
            }
        }
        for (String name : PUBLISHED) {
            Files.deleteIfExists(aside(name));
        }
    }

    private static List<Path> list(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }

    /** Lets another process use the folder. */
    @Override
    public void close() {
        try {
            lockFile.close();
        } catch (IOException e) {
            throw new CheckpointException("the lock of the run folder " + path + " cannot be given back: "
                    + DurableFiles.reason(e), e);
        }
    }
}
