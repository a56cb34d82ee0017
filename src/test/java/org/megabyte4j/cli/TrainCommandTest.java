package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.checkpoint.RunFolder;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.train.Recipe;
import org.megabyte4j.train.TestRun;

class TrainCommandTest {
    private static final String[] SMALL = {"--steps", "4", "--batch", "2", "--seq-len", "24", "--threads", "1"};

    /** With {@code text}, {@code other}, {@code empty}, {@code config.json}, and a finished run in {@code run}. */
    @TempDir
    static Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeAll
    static void trainOnce() throws IOException {
        Files.write(folder.resolve("text"), TestRun.text(300, 1));
        Files.write(folder.resolve("other"), TestRun.text(300, 2));
        Files.createFile(folder.resolve("empty"));
        Files.writeString(folder.resolve("config.json"), ConfigJson.write(TestRun.config(Variant.MEGABYTE)));
        var once = new TrainCommandTest();
        assertThat(once.train(once.fresh("run", SMALL))).as(once.err.toString()).isZero();
    }

    private String[] fresh(String out, String... more) {
        return with(arguments("--data @text --config @config.json --out @" + out), more);
    }

    private static String path(String name) {
        return folder.resolve(name).toString();
    }

    private int train(String... arguments) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Main.run(with(new String[] {"train"}, arguments), new PrintWriter(out, true),
                new PrintWriter(err, true));
    }

    /** The arguments of a line, in which {@code @name} is a file of the test's folder. */
    private static String[] arguments(String line) {
        return Stream.of(line.split(" ")).map(word -> word.startsWith("@") ? path(word.substring(1)) : word)
                .toArray(String[]::new);
    }

    private void assertRefused(String sentence, String... arguments) {
        assertThat(train(arguments)).isEqualTo(1);
        assertThat(err.toString().lines()).containsExactly("megabyte4j: " + sentence.replace("@", folder + "/"));
        assertThat(out.toString()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
            --preset tiny             | no data is named; use --data FILE_OR_FOLDER, or --data demo for the source \
            code that comes with Java
            --data @nothing           | there is no file or folder @nothing; check the path
            --data @empty             | @empty is empty; name a file with at least one byte
            --data demo --data @text  | --data demo cannot be mixed with other data; name one or the other
            --data @text --valid-data @nothing | there is no file or folder @nothing; check the path
            --data @text --valid-fraction 1    | --valid-fraction 1.0 is not at least 0 and less than 1; 0.05 is usual
            --data @text --seq-len 1001        | --seq-len 1001 is not a multiple of the patch size 8; use 1008
            --data @text --seq-len 0           | --seq-len 0 is not possible; use a multiple of the patch size
            --data @text --variant megabyte --seq-len 2056 | --seq-len 2056 is longer than the 2048 positions (T_MAX) \
            that this model learned; use at most 2048, or the variant megabyte_in_action
            --data @text --batch 0      | --batch 0 is not possible; use at least 1
            --data @text --accumulate 0 | --accumulate 0 is not possible; use at least 1
            --data @text --batch 9999999 | --batch 9999999 of --seq-len 1024 with --accumulate 1 is more than the \
            2147483647 bytes that a step can take; use less
            --data @text --clip -1      | --clip -1.0 is not 0 or a positive number; 1 is usual, 0 switches it off
            --data @text --lr 0         | --lr 0.0 is not a positive number; 0.001 is a good start
            --data @text --steps 0      | --steps 0 is not possible; use at least 1
            --data @text --steps 5 --warmup 5 | --warmup 5 leaves nothing of --steps 5; use fewer steps of warm-up
            --data @text --beta2 1      | --beta2 1.0 is not at least 0 and less than 1
            --data @text --epsilon 0    | --epsilon 0.0 is not a positive number; 1e-8 is usual
            --data @text --weight-decay -1    | --weight-decay -1.0 is not 0 or a positive number; 0.1 is usual
            --data @text --eval-bytes 0       | --eval-bytes 0 is not possible; use at least 1
            --data @text --checkpoint-every 0 | --checkpoint-every 0 is not possible; use at least 1
            --data @text --keep 0       | --keep 0 is not possible; use at least 1
            --data @text --max-time 0s  | --max-time is no time at all; use something like 90s, 2m or 8h
            --data @text --preset smal  | there is no preset "smal"; did you mean small?
            --data @text --preset x     | there is no preset "x"; the presets are tiny, small, megabyte-130m, \
            benchmark, paper, paper-large
            --data @text --variant alibi    | there is no variant alibi; use megabyte or megabyte_in_action
            --data @text --config @nothing  | there is no configuration @nothing
            --data @text --init-from @nothing | @nothing does not exist
            --resume                        | --resume needs the run folder; add --out DIR
            """)
    void whatCannotBeTrainedGetsASentenceAndLeavesNothing(String line, String sentence) throws IOException {
        boolean named = line.equals("--resume");
        assertRefused(sentence, arguments(line + (named ? "" : " --out @new")));
        assertThat(folder.resolve("new")).doesNotExist();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
            --bacth 3           | unknown option --bacth; did you mean --batch?
            --learning-rate 3   | unknown option --learning-rate
            --seqlen 3          | unknown option --seqlen; did you mean --seq-len?
            --steps many        | invalid value for option '--steps': 'many' is not a long
            --max-time soon     | invalid value for option '--max-time': "soon" is no time; use something like 90s, 2m \
            or 8h
            --schedule cosin    | invalid value for option '--schedule': expected one of [CONSTANT, LINEAR, COSINE] \
            (case-insensitive) but was 'cosin'
            --preset tiny --config x | --preset=NAME, --config=FILE are mutually exclusive (specify only one)
            """)
    void aWrongCommandLineGetsASentenceAndTheWayToHelp(String line, String sentence) {
        assertThat(train(line.split(" "))).isEqualTo(2);
        assertThat(err.toString().lines()).containsExactly("megabyte4j train: " + sentence,
                "Try megabyte4j train --help.");
    }

    @Test
    void foldersThatBelongToSomethingElseAreLeftAlone() throws IOException {
        assertRefused("the run folder @text cannot be used: it is a file", fresh("text", SMALL));
        Path occupied = Files.createDirectories(folder.resolve("occupied"));
        for (String name : List.of("d", "b", "a", "c")) {
            Files.createFile(occupied.resolve(name));
        }
        assertRefused("@occupied is not empty (a, b, c); choose another --out for a new run", fresh("occupied", SMALL));
        assertRefused("@run already holds a run with a checkpoint of step 4; continue it with --resume, or choose"
                + " another folder", fresh("run", SMALL));
        RunFolder used = RunFolder.create(folder.resolve("used"));
        assertRefused("the run folder @used is in use by another process; wait until it ends, or choose another folder",
                fresh("used", SMALL));
        used.close();
    }

    @Test
    void aRunFolderThatCannotBeMadeIsASentence() throws IOException {
        assertThat(train(fresh("text/run", SMALL))).isEqualTo(1);
        assertThat(err.toString().lines().toList()).singleElement().asString()
                .startsWith("megabyte4j: the run folder " + path("text/run") + " cannot be used: " + path("text"));
        Path readOnly = Files.createDirectory(folder.resolve("readonly"));
        assumeTrue(readOnly.toFile().setWritable(false) && !Files.isWritable(readOnly), "root may write anywhere");
        assertRefused("the run folder @readonly/run cannot be used: permission denied on @readonly/run",
                fresh("readonly/run", SMALL));
    }

    /** Its files would be other data when it is resumed. */
    @Test
    void aRunInItsOwnDataIsRefusedUnlessGlobsKeepThemApart() throws IOException {
        Path data = Files.createDirectories(folder.resolve("data"));
        Files.copy(folder.resolve("text"), data.resolve("a.txt"));
        String sentence = "the run folder @data/sub/run lies in the data @data and would become a part of it; choose an"
                + " --out elsewhere, or only some files of the data with --glob";
        String[] line = arguments("--config @config.json --out @data/sub/run --steps 2 --batch 1 --seq-len 24");
        assertRefused(sentence, with(line, "--data", path("data")));
        assertRefused(sentence, with(line, "--data", path("text"), "--valid-data", path("data")));
        assertThat(data.resolve("sub")).doesNotExist();
        assertThat(train(with(line, "--data", path("data"), "--glob", "*.txt", "--schedule", "constant")))
                .as(err.toString()).isZero();
        assertThat(train(arguments("--resume --out @data/sub/run --steps 3"))).as(err.toString()).isZero();
    }

    private static String[] with(String[] arguments, String... more) {
        return Stream.of(arguments, more).flatMap(Stream::of).toArray(String[]::new);
    }

    @Test
    void aRunThatIsNoneCannotBeResumed() throws IOException {
        assertRefused("there is no run folder @nothing to resume from", arguments("--resume --out @nothing"));
        RunFolder.create(folder.resolve("begun")).close();
        assertRefused("@begun holds no checkpoint to resume from; start a run there without --resume",
                arguments("--resume --out @begun"));
        assertRefused("all 4 steps of @run are done; its schedule ends there, so start a new run with --init-from @run",
                arguments("--resume --out @run"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
            --steps 9                     | --steps 9 instead of 4
            --batch 3 --lr 0.5            | --batch 3 instead of 2, --lr 0.5 instead of 0.001
            --seq-len 12                  | --seq-len 12 instead of 24
            --accumulate 2                | --accumulate 2 instead of 1
            --clip 2                      | --clip 2.0 instead of 1.0
            --warmup 2                    | --warmup 2 instead of 0
            --schedule linear             | --schedule linear instead of cosine
            --weight-decay 0.2 --decay-all | --weight-decay 0.2 instead of 0.1, --decay-all true instead of false
            --beta1 0.8                   | --beta1 0.8 instead of 0.9
            --seed 2                      | --seed 2 instead of 1
            --sampling chunks             | --sampling CHUNKS instead of RANDOM
            --valid-fraction 0.2          | --valid-fraction 0.2 instead of 0.05
            """)
    void aResumedRunRefusesOtherOptions(String line, String change) {
        assertRefused("a resumed run must go on as it began, but this would change " + change
                + "; leave these options out, or start a new run in another --out",
                arguments("--resume --out @run " + line));
    }

    @ParameterizedTest
    @CsvSource({"--preset tiny", "--variant megabyte_in_action", "--init-from @run"})
    void aResumedRunRefusesAnotherModel(String line) {
        assertRefused("a resumed run keeps its model; leave --preset, --config, --variant and --init-from out, or start"
                + " a new run in another --out", arguments("--resume --out @run " + line));
    }

    @Test
    void aResumedRunRefusesOtherDataAndGoesOnWithItsOwn() throws IOException {
        String[] constant = {"--schedule", "constant", "--steps", "2", "--batch", "2", "--seq-len", "24"};
        assertThat(train(fresh("constant", constant))).as(err.toString()).isZero();
        assertThat(train(arguments("--resume --out @constant --steps 4 --data @other"))).isEqualTo(1);
        assertThat(err.toString().lines().toList()).singleElement().asString().matches("megabyte4j: the data is not"
                + " what this run was trained on \\(its fingerprint is [0-9a-f]{12}, the run's [0-9a-f]{12}\\); a"
                + " resumed run needs the same files, so bring them back or start a new run in another --out");
        assertThat(steps("constant")).containsExactly(0L, 2L);

        // The same content under another name is the same data, and a constant rate has no end.
        Files.copy(folder.resolve("text"), folder.resolve("copy"));
        assertThat(train(arguments("--resume --out @constant --steps 4 --data @copy --config @config.json")))
                .as(err.toString()).isZero();
        assertThat(steps("constant")).containsExactly(2L, 4L);
        assertRefused("all 4 steps of @constant are done; give more --steps, or start a new run with --init-from"
                + " @constant", arguments("--resume --out @constant --steps 4"));
    }

    /** What it computes in is kept; a run from before there was a choice computed in float32. */
    @Test
    void aResumedRunKeepsItsType() throws IOException {
        String[] constant = {"--schedule", "constant", "--steps", "1", "--batch", "1", "--seq-len", "24"};
        assertThat(train(fresh("typed", constant))).as(err.toString()).isZero();
        String sentence = "the device cpu cannot compute in bf16; use --dtype float32, or --device cuda";
        assertRefused(sentence, arguments("--resume --out @typed --steps 2 --dtype bf16"));
        Path description = folder.resolve("typed/checkpoints/step-00000001/trainer.json");
        String recipe = Files.readString(description);
        assertThat(recipe).contains("\"dtype\" : \"F32\"");
        Recipe float32 = Recipe.read(new ObjectMapper().readTree(recipe), description);
        Recipe bf16 = Recipe.read(new ObjectMapper().readTree(recipe.replace("\"dtype\" : \"F32\"",
                "\"dtype\" : \"BF16\"")), description);
        assertThat(bf16.dtype()).isEqualTo(DType.BF16);
        assertThatThrownBy(() -> bf16.requireSame(float32)).hasMessageContaining(
                "this would change --dtype float32 instead of bf16; leave");
        String older = recipe.replaceAll(",\\s*\"dtype\" : \"F32\"", "");
        assertThat(older).doesNotContain("\"dtype\"");
        assertThat(Recipe.read(new ObjectMapper().readTree(older), description)).isEqualTo(float32);
    }

    private static List<Long> steps(String run) {
        try (RunFolder opened = RunFolder.open(folder.resolve(run))) {
            return opened.steps();
        }
    }

    @Test
    void aResumedRunKeepsItsHabits() throws IOException {
        String[] habits = {"--schedule", "constant", "--steps", "3", "--batch", "1", "--seq-len", "24",
            "--log-every", "2", "--eval-every", "3", "--eval-bytes", "24", "--checkpoint-every", "3", "--keep", "3"};
        assertThat(train(fresh("habits", habits))).as(err.toString()).isZero();
        assertThat(train(arguments("--resume --out @habits --steps 12"))).as(err.toString()).isZero();
        assertThat(steps("habits")).containsExactly(6L, 9L, 12L);
        List<JsonNode> metrics = TestRun.metrics(folder.resolve("habits"));
        assertThat(metrics.stream().filter(line -> line.has("loss")).map(line -> line.get("step").asInt()))
                .containsExactly(1, 2, 3, 4, 6, 8, 10, 12);
        assertThat(metrics.stream().filter(line -> line.has("valid_loss")).map(line -> line.get("step").asInt()))
                .containsExactly(3, 6, 9, 12);
        assertThat(metrics.stream().filter(line -> line.has("valid_loss")).map(line -> line.get("valid_bytes").asInt()))
                .allMatch(bytes -> bytes <= 24);
        assertThat(train(arguments("--resume --out @habits --steps 14 --keep 1 --log-every 1"))).isZero();
        assertThat(steps("habits")).containsExactly(14L);
    }

    @Test
    void aDamagedCheckpointIsPassedOverWithANoteAndChangesNothing() throws IOException {
        String[] options = with(SMALL, "--schedule", "constant", "--checkpoint-every", "3");
        assertThat(train(fresh("damaged", options))).isZero();
        byte[] good = TestRun.newest(folder.resolve("damaged"), "model.safetensors");
        Path model = folder.resolve("damaged/checkpoints/step-00000004/model.safetensors");
        byte[] bytes = Files.readAllBytes(model);
        bytes[bytes.length / 2] ^= 1;
        // A new file, as the one at the top of the run folder may be the same one under another name.
        Files.delete(model);
        Files.write(model, bytes);
        assertThat(train(arguments("--resume --out @damaged"))).as(err.toString()).isZero();
        assertThat(err.toString().lines().findFirst().orElseThrow())
                .startsWith("Note: the checkpoint of step 4 is damaged: ")
                .endsWith("; the older checkpoint of step 3 is still good, and the run continues from there.");
        assertThat(TestRun.newest(folder.resolve("damaged"), "model.safetensors")).isEqualTo(good);
        assertThat(steps("damaged")).containsExactly(3L, 4L);

        Files.writeString(folder.resolve("damaged/checkpoints/step-00000004/manifest.json"), "{");
        Files.writeString(folder.resolve("damaged/checkpoints/step-00000003/manifest.json"), "{");
        assertThat(train(arguments("--resume --out @damaged"))).isEqualTo(1);
        assertThat(err.toString().lines().toList()).singleElement().asString().startsWith("megabyte4j: no checkpoint"
                + " in " + path("damaged") + " is usable: ").endsWith("; start a new run in another folder");
    }

    @Test
    void optionsReachTheRunAndItsDescription() throws IOException {
        assertThat(train(fresh("described", "--steps", "3", "--batch", "2", "--seq-len", "12", "--accumulate", "3",
                "--lr", "0.01", "--schedule", "linear", "--warmup", "1", "--clip", "0.5", "--optimizer", "anyprecision",
                "--beta1", "0.8", "--beta2", "0.98", "--epsilon", "1e-6", "--weight-decay", "0.3", "--decay-all",
                "--kahan", "--momentum-dtype", "bf16", "--variance-dtype", "f32", "--compensation-dtype", "f32",
                "--valid-data", path("other"), "--sampling", "chunks", "--seed", "9", "--keep", "7", "--threads", "1")))
                .as(err.toString()).isZero();
        JsonNode trainer = new ObjectMapper().readTree(folder.resolve("described/trainer.json").toFile());
        assertThat(trainer.get("step").asInt()).isEqualTo(3);
        assertThat(trainer.get("bytes").asInt()).isEqualTo(3 * 3 * 2 * 12);
        assertThat(trainer.get("seed").asInt()).isEqualTo(9);
        assertThat(trainer.get("options")).isEqualTo(new ObjectMapper().readTree("""
                {"batch": 2, "seq_len": 12, "accumulate": 3, "clip": 0.5,
                 "optimizer": {"name": "anyprecision", "beta1": 0.8, "beta2": 0.98, "epsilon": 1e-6,
                   "weight_decay": 0.3, "decay_all": true, "dynamic_weight_decay": false, "scale_parameter": true,
                   "kahan": true, "momentum_dtype": "BF16", "variance_dtype": "F32", "compensation_dtype": "F32"},
                 "schedule": {"name": "linear", "lr": 0.01, "warmup": 1, "steps": 3},
                 "recomputation": {"stacks": "NONE", "keep_attention": false, "chunk": null}}"""));
        assertThat(trainer.get("data").get("valid_data").get(0).asText()).isEqualTo(path("other"));
        assertThat(trainer.get("data").get("sampling").asText()).isEqualToIgnoringCase("chunks");
        assertThat(trainer.get("bookkeeping").get("keep").asInt()).isEqualTo(7);
        assertThat(trainer.get("threads").asInt()).isEqualTo(1);
        assertThat(trainer.get("device").asText()).startsWith("cpu, 1 thread, ");
        assertThat(trainer.get("fingerprint").asText()).matches("[0-9a-f]{64}");
        assertThat(TestRun.metrics(folder.resolve("described")).getLast().get("valid_bytes").asLong())
                .isEqualTo(Files.size(folder.resolve("other")));
    }

    @Test
    void aTrainedModelIsWhereANewRunStarts() throws IOException {
        String[] arguments = {"--data", path("text"), "--init-from", path("run"), "--out", path("tuned")};
        assertThat(train(with(arguments, SMALL))).as(err.toString()).isZero();
        double fresh = TestRun.metrics(folder.resolve("run")).getFirst().get("loss").asDouble();
        double tuned = TestRun.metrics(folder.resolve("tuned")).getFirst().get("loss").asDouble();
        assertThat(tuned).isLessThan(fresh);
        assertRefused("--variant megabyte cannot be chosen for the trained model @run; leave it out",
                arguments("--data @text --init-from @run --variant megabyte --out @new"));
    }

    @Test
    void aRunTellsWhatItDoesAndWhereItsResultsAre() {
        assertThat(train(fresh("told", SMALL))).isZero();
        List<String> lines = err.toString().lines().toList();
        assertThat(lines.getFirst()).matches("Training megabyte with \\d+,\\d\\d\\d parameters in float32 on cpu,"
                + " 1 thread, .*; 48 bytes per step; run folder \\Q" + path("told") + "\\E");
        assertThat(lines.get(1)).matches("step 1 of 4: loss 5\\.\\d{3}, [78]\\.\\d{3} bits per byte, [\\d.]+ KB/s,"
                + " \\d+:\\d\\d left");
        assertThat(lines.get(lines.size() - 3)).startsWith("step 4 of 4: loss ").endsWith(", 0:00 left");
        assertThat(lines.get(lines.size() - 2))
                .matches("step 4: validation loss 5\\.\\d{4}, [78]\\.\\d{4} bits per byte");
        assertThat(lines.getLast()).isEqualTo("Done: 4 steps. The model and its metrics are in " + path("told") + ".");
        assertThat(out.toString()).isEmpty();
    }

    @Test
    void aTimeLimitIsTold() {
        assertThat(train(fresh("timed", "--max-time", "1", "--batch", "1", "--seq-len", "24", "--log-every", "100")))
                .as(err.toString()).isZero();
        assertThat(err.toString().lines().toList().getLast()).matches("The time is up after [\\d,]+ steps\\. The model"
                + " and its metrics are in \\Q" + path("timed") + "\\E; --resume goes on\\.");
        assertThat(train(arguments("--resume --max-time 1s --out @timed"))).as(err.toString()).isZero();
    }

    @Test
    void aLearningRateThatIsTooLargeGetsASentence() {
        assertThat(train(fresh("diverged", "--steps", "9", "--batch", "2", "--seq-len", "24", "--lr", "1e38",
                "--schedule", "constant", "--warmup", "0"))).isEqualTo(1);
        assertThat(err.toString().lines().toList().getLast()).matches("megabyte4j: the loss became (NaN|infinite) at"
                + " step 2, and the run was stopped; the checkpoint of step 0 in \\Q" + path("diverged") + "\\E is"
                + " good; try a smaller --lr, more --warmup, or --clip 1");
        assertThat(err.toString()).doesNotContain("\tat ");
    }

    @Test
    void thePlanIsPrintedAndNothingElseHappens() {
        for (String where : List.of("--config @config.json --out @new", "--resume --out @run")) {
            assertThat(train(arguments(where + " --plan"))).as(err.toString()).isZero();
            assertThat(out.toString().lines().map(line -> line.replaceAll("(a step|\\w+) .*", "$1")).toList())
                    .containsExactly("parameters", "a step", "dtype", "parameters", "gradients", "optimizer",
                            "activations", "workspace", "inputs", "total");
            List<Long> figures = new ArrayList<>();
            assertThat(out.toString().lines()).contains("dtype                     float32");
            out.toString().lines().filter(line -> !line.startsWith("dtype"))
                    .forEach(line -> figures.add(Long.valueOf(line.replaceAll(" bytes.*|\\D", ""))));
            assertThat(figures.get(1)).isEqualTo(where.startsWith("--resume") ? 48 : 8 * 48);
            assertThat(figures.getLast()).isEqualTo(figures.subList(2, 8).stream().mapToLong(v -> v).sum());
            assertThat(figures.get(2)).isGreaterThanOrEqualTo(4 * figures.getFirst());
            assertThat(figures.get(4)).isEqualTo(2 * figures.get(3));
            assertThat(err.toString()).isEmpty();
        }
        assertThat(folder.resolve("new")).doesNotExist();
    }

    /** The same with and without; a run that goes on may change it, and is told what that means. */
    @Test
    void recomputationIsKeptByTheRun() throws IOException {
        String again = "--recompute all --keep-attention --chunk 3";
        assertThat(train(fresh("again", with(SMALL, arguments(again + " --schedule constant"))))).as(err.toString())
                .isZero();
        assertThat(train(arguments("--resume --out @again --steps 5"))).as(err.toString()).isZero();
        assertThat(err.toString()).doesNotContain("--recompute");
        assertThat(Recipe.of(folder.resolve("again")).orElseThrow().options().recomputation())
                .isEqualTo(new Recomputation(Recomputation.Stacks.ALL, true, 3));
        assertThat(train(arguments("--resume --out @again --steps 6 --recompute local")))
                .as(err.toString()).isZero();
        assertThat(err.toString()).contains("Note: this run goes on with another --recompute, which adds up in another"
                + " order and may round differently.");
        assertThat(Recipe.of(folder.resolve("again")).orElseThrow().options().recomputation())
                .isEqualTo(new Recomputation(Recomputation.Stacks.LOCAL, false, 3));
        assertRefused("--keep-attention is for global layers that are computed again; add --recompute global or"
                + " --recompute all, or leave it out", arguments("--data @text --keep-attention --out @new"));
        assertRefused("--chunk 0 is not possible; use at least 1", arguments("--data @text --chunk 0 --out @new"));
        assertRefused("--chunk 3 is for a step that is not kept; add --recompute local, global or all, or leave it out",
                arguments("--data @text --chunk 3 --out @new"));
    }

    @Test
    void sequencesLongerThanTheDataHasThemAreNoted() {
        String[] longer = arguments("--data @text --preset tiny --batch 1 --seq-len 512 --steps 1 --threads 1 --out ");
        longer[longer.length - 1] = "--out";
        assertThat(train(with(longer, path("padded")))).as(err.toString()).isZero();
        assertThat(err.toString().lines().findFirst().orElseThrow()).matches("Note: every sequence is padded, since no"
                + " stretch of the training data has more than 1\\d\\d of --seq-len 512 bytes; what is held out cuts the"
                + " data up, so name other data with --valid-data, hold out nothing with --valid-fraction 0, or use a"
                + " shorter --seq-len\\.");
        assertThat(train(with(longer, path("unpadded"), "--valid-fraction", "0"))).as(err.toString()).isZero();
        assertThat(err.toString()).doesNotContain("Note:");
    }

    /** A million bytes with a small model, within 4 GB: in the plan, which takes none of it. */
    @Test
    void thePlanOfAMillionBytesIsPrinted() {
        long[] totals = new long[2];
        for (int i = 0; i < 2; i++) {
            assertThat(train(arguments("--preset small --batch 1 --seq-len 1048576 --threads 2 --plan --recompute "
                    + (i == 0 ? "none" : "all")))).as(err.toString()).isZero();
            String last = out.toString().lines().toList().getLast();
            totals[i] = Long.parseLong(last.replaceAll(" bytes.*|\\D", ""));
        }
        assertThat(totals[1]).isLessThan(3_500_000_000L).isLessThan(totals[0] / 4);
    }

    @Test
    void tooLittleMemoryIsSaidBeforeAnythingHappens() {
        String[] tooLarge = arguments("--data @text --preset paper-large --batch 200000 --seq-len 8192 --out @new");
        assertThat(train(tooLarge)).isEqualTo(1);
        assertThat(err.toString().lines().toList()).singleElement().asString().matches("megabyte4j: not enough memory:"
                + " \\d+\\.\\d\\d GiB needed \\(parameters 4\\.\\d\\d GiB, gradients .*, optimizer .*, activations .*,"
                + " workspace .*, inputs .*\\), \\d+\\.\\d\\d GiB free; (the largest that fits is --batch \\d|not even"
                + " --batch 1 fits, use --recompute all, a smaller --seq-len or a smaller model)");
        assertThat(folder.resolve("new")).doesNotExist();
        assertThat(train(with(tooLarge, "--plan"))).isZero();
    }
}
