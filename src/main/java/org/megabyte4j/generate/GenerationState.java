package org.megabyte4j.generate;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.checkpoint.SafeTensorsFile;
import org.megabyte4j.checkpoint.SafeTensorsWriter;
import org.megabyte4j.checkpoint.TensorSource;
import org.megabyte4j.model.Ids;
import org.megabyte4j.tensor.DType;

/**
 * A {@link Generation} in a file, so that it can go on later, in another process, as if it had never stopped. On the
 * same device, with as many threads, and planned for the same batch and length, aligned text gets the same bits. With
 * {@link Alignment#REFERENCE}, where everything is computed again in the length of the longest sequence, those of
 * several sequences may differ in their last bits.
 *
 * <p>The file is safetensors. {@code ids} (I32) holds the prompts and continuations one after the other, {@code scores}
 * (F64 {@code [n, 3]}, if asked for) their scores, {@code cache.<row>.<layer>} the global model's keys and values of
 * the complete patches of each sequence of the current group. Everything else is a line of JSON among the file's notes.
 * What is not there has been chosen by then: the bytes of the patch that a sequence is in are gone through once more.
 */
public final class GenerationState implements AutoCloseable {
    private static final String NOTE = "generation";
    private static final int VERSION = 1;
    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
            .build();

    /** The note. {@code first} is the number of the first sequence whose caches are there. */
    private record Note(int version, GeneratorIdentity generator, int batch, int first, int newIds,
            SamplingOptions sampling, boolean stopAtEos, boolean scored, List<Row> sequences) {
    }

    /** Ids of the prompt, ids in all, and the end unless it is that of the length. */
    private record Row(int prompt, int length, Generated.End end) {
    }

    private final SafeTensorsFile file;
    private final Note note;
    private final GenerationRequest request;
    private final List<Generated> soFar;

    private GenerationState(SafeTensorsFile file, Note note, GenerationRequest request, List<Generated> soFar) {
        this.file = file;
        this.note = note;
        this.request = request;
        this.soFar = soFar;
    }

    /**
     * Opens a file that {@link Generation#save} has written.
     *
     * @throws CheckpointException if it cannot be read or is no such file
     */
    public static GenerationState open(Path path) {
        SafeTensorsFile file = SafeTensorsFile.open(path);
        try {
            Note note = note(file);
            List<int[]> prompts = new ArrayList<>();
            List<Generated> soFar = read(file, note, prompts);
            return new GenerationState(file, note, new GenerationRequest(prompts, note.newIds, note.sampling,
                    note.stopAtEos, note.scored), soFar);
        } catch (RuntimeException | Error e) {
            file.close();
            throw e;
        }
    }

    private static Note note(SafeTensorsFile file) {
        String text = file.metadata().get(NOTE);
        if (text == null) {
            throw new CheckpointException(file.path() + " is no saved generation: it has no note \"" + NOTE
                    + "\"; use a file that generate --save-state has written");
        }
        try {
            Note note = MAPPER.readValue(text, Note.class);
            if (note.version != VERSION) {
                throw damaged(file, "its version is " + note.version + ", and this program reads " + VERSION);
            }
            if (note.batch < 1 || note.first < 0 || note.generator == null || note.sampling == null
                    || note.sequences == null || note.first % note.batch != 0) {
                throw damaged(file, "its note lacks something");
            }
            return note;
        } catch (JsonProcessingException e) {
            throw damaged(file, e.getOriginalMessage());
        }
    }

    /** Fills in the prompts and gives what follows them. */
    private static List<Generated> read(SafeTensorsFile file, Note note, List<int[]> prompts) {
        int[] ids = file.ints("ids");
        long expected = 0;
        long generated = 0;
        for (Row row : note.sequences) {
            if (row.prompt < 0 || row.length < row.prompt || row.length - (long) row.prompt > note.newIds) {
                throw damaged(file, "a sequence has " + row.length + " ids, " + row.prompt + " of them in its prompt,"
                        + " and may have " + note.newIds + " more than that");
            }
            expected += row.length;
            generated += row.length - row.prompt;
        }
        if (expected != ids.length || note.scored && file.tensor("scores").elements() != 3 * generated) {
            throw damaged(file, "its sequences have " + expected + " ids, but it holds " + ids.length
                    + " or not as many scores");
        }
        double[] scores = new double[note.scored ? Math.toIntExact(3 * generated) : 0];
        if (note.scored) {
            file.tensor("scores").readAs(DType.F64, 0, scores.length, MemorySegment.ofArray(scores));
        }
        List<Generated> soFar = new ArrayList<>();
        int at = 0;
        int scored = 0;
        for (Row row : note.sequences) {
            prompts.add(Arrays.copyOfRange(ids, at, at + row.prompt));
            List<Score> own = new ArrayList<>();
            for (int i = 0; note.scored && i < row.length - row.prompt; i++, scored += 3) {
                own.add(new Score(scores[scored], (float) scores[scored + 1], (float) scores[scored + 2]));
            }
            soFar.add(new Generated(Arrays.copyOfRange(ids, at + row.prompt, at + row.length), own, row.end));
            at += row.length;
        }
        return soFar;
    }

    private static CheckpointException damaged(SafeTensorsFile file, String what) {
        return new CheckpointException(file.path() + " is damaged or no saved generation: " + what);
    }

    /** {@link Generation#save}. */
    static void write(Path path, Generator generator, GenerationRequest request, List<Sequence> sequences, int first,
            List<TensorSource> caches) {
        List<Row> rows = new ArrayList<>();
        int[] ids = new int[sequences.stream().mapToInt(Sequence::length).reduce(0, Math::addExact)];
        List<Score> scores = new ArrayList<>();
        int at = 0;
        for (Sequence sequence : sequences) {
            Generated generated = sequence.generated(null);
            rows.add(new Row(sequence.length() - generated.ids().length, sequence.length(),
                    generated.end() == Generated.End.LENGTH ? null : generated.end()));
            for (int i = 0; i < sequence.length(); i++) {
                ids[at++] = sequence.id(i);
            }
            scores.addAll(generated.scores());
        }
        List<TensorSource> tensors = new ArrayList<>(caches);
        tensors.add(TensorSource.of("ids", DType.I32, MemorySegment.ofArray(ids), ids.length));
        if (request.scored()) {
            double[] values = scores.stream().flatMapToDouble(score -> Arrays.stream(
                    new double[] {score.logProbability(), score.topLogit(), score.lead()})).toArray();
            tensors.add(TensorSource.of("scores", DType.F64, MemorySegment.ofArray(values), scores.size(), 3));
        }
        Note note = new Note(VERSION, generator.identity(), generator.batch(), first, request.newIds(),
                request.sampling(), request.stopAtEos(), request.scored(), rows);
        try {
            new SafeTensorsWriter(tensors, Map.of(NOTE, MAPPER.writeValueAsString(note))).write(path);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a note must have a JSON form", e);
        }
    }

    /**
     * Makes sure that a state can be saved in a place, before there is one to lose.
     *
     * @throws CheckpointException if no file can be written there
     */
    public static void requireWritable(Path path) {
        SafeTensorsWriter.requireWritable(path);
    }

    /** What was asked for, from the original prompts on. */
    public GenerationRequest request() {
        return request;
    }

    /** What there is of it: of a sequence that goes on the end is null. */
    public List<Generated> results() {
        return soFar;
    }

    /** Sequences side by side. */
    public int batch() {
        return note.batch;
    }

    /** Where patches begin. */
    public Alignment alignment() {
        return note.generator.alignment();
    }

    /** In which the model computed, F32 or BF16. */
    public DType dtype() {
        return note.generator.dtype();
    }

    /** In which the matrices were read. */
    public DType weights() {
        return note.generator.weights();
    }

    /**
     * The same with another number of new ids in all, so that sequences that have ended for their length go on. Those
     * of earlier groups than the last are read anew.
     *
     * @param newIds at least as many as the longest continuation has
     * @return shares the file
     */
    public GenerationState withNewIds(int newIds) {
        int most = soFar.stream().mapToInt(generated -> generated.ids().length).max().orElse(0);
        if (newIds < most) {
            throw new GenerationException(file.path() + " holds a continuation of " + most
                    + " bytes already; ask for at least as many instead of " + newIds);
        }
        return new GenerationState(file, note, request.withNewIds(newIds), soFar);
    }

    /** Whether every sequence has ended, so that there is nothing to go on with. */
    public boolean isFinished() {
        return soFar.stream().allMatch(generated -> generated.end() != null
                || generated.ids().length == request.newIds());
    }

    List<Sequence> sequences() {
        List<Sequence> sequences = new ArrayList<>();
        for (int i = 0; i < soFar.size(); i++) {
            sequences.add(new Sequence(i, request.prompts().get(i), request.newIds(), soFar.get(i)));
        }
        return sequences;
    }

    /**
     * @throws GenerationException if a generator is not as the one that wrote the file; says in what
     * @throws org.megabyte4j.model.ConfigException if the file holds an id that the model does not know
     */
    void require(Generator generator) {
        note.generator.require(file.path(), generator.identity());
        if (generator.batch() != note.batch) {
            throw new GenerationException(file.path() + " was saved with " + note.batch
                    + " sequences side by side, but this generator has " + generator.batch() + "; use as many");
        }
        soFar.forEach(generated -> Ids.check(generated.ids(), generator.config().vocabularySize()));
    }

    /**
     * @param predictor has started with the sequences from {@code first} on
     * @throws CheckpointException if the file is damaged
     */
    void restore(Predictor predictor, int first) {
        if (first == note.first && !caches().isEmpty()) {
            predictor.restore(file);
        }
    }

    /** Number of the first sequence whose caches are there, if any are. */
    int first() {
        return note.first;
    }

    List<TensorSource> caches() {
        return file.tensors().values().stream().filter(tensor -> tensor.name().startsWith("cache."))
                .map(TensorSource::of).toList();
    }

    @Override
    public void close() {
        file.close();
    }
}
