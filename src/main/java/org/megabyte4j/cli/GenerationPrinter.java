package org.megabyte4j.cli;

import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import org.megabyte4j.generate.Generated;
import org.megabyte4j.generate.Generation;
import org.megabyte4j.generate.GenerationRequest;
import org.megabyte4j.generate.Score;

/** Generates and prints: one sequence as it comes, several one after the other when all are there. */
final class GenerationPrinter {
    private final PrintWriter out;
    private final long start = System.nanoTime();
    private long first;
    private long last;
    private int ids;

    GenerationPrinter(PrintWriter out) {
        this.out = out;
    }

    void run(Generation generation, GenerationRequest request) {
        if (request.prompts().size() == 1) {
            one(generation, request);
        } else {
            List<Generated> all = generation.run((sequence, id) -> count());
            for (int i = 0; i < all.size(); i++) {
                out.printf("--- %d of %d ---%n", i + 1, all.size());
                Utf8Printer text = new Utf8Printer(out);
                text.print(promptOf(request, i));
                text.print(all.get(i).bytes());
                text.finish();
                out.println();
                printScores(all.get(i), request);
            }
        }
        out.flush();
    }

    private static byte[] promptOf(GenerationRequest request, int sequence) {
        return new Generated(request.prompts().get(sequence), List.of(), null).bytes();
    }

    private void one(Generation generation, GenerationRequest request) {
        Utf8Printer text = new Utf8Printer(out);
        text.print(promptOf(request, 0));
        text.print(generation.results().getFirst().bytes());
        text.flush();
        Generated generated = generation.run((sequence, id) -> {
            if (id < 256) {
                text.print((byte) id);
            }
            if (!text.flush()) {
                generation.cancel();    // the reader has gone; it can still be saved
            }
            return count();
        }).getFirst();
        text.finish();
        out.println();
        printScores(generated, request);
    }

    private void printScores(Generated generated, GenerationRequest request) {
        if (!request.scored()) {
            return;
        }
        out.println("id\tbyte\tlog-probability\ttop logit\tlead");
        for (int i = 0; i < generated.ids().length; i++) {
            int id = generated.ids()[i];
            String visible = id > ' ' && id < 127 ? String.valueOf((char) id) : "";
            Score score = generated.scores().get(i);
            out.printf(Locale.ROOT, "%d\t%s\t%.4f\t%.4f\t%.4f%n", id, visible, score.logProbability(), score.topLogit(),
                    score.lead());
        }
    }

    private boolean count() {
        last = System.nanoTime();
        first = ids++ == 0 ? last : first;
        return true;
    }

    /** How many bytes came how fast. The prompt's time lies before the first byte; the rate is that of the others. */
    String summary() {
        if (ids == 0) {
            return "0 bytes";
        }
        String rate = ids < 2 ? ""
                : String.format(Locale.ROOT, ", then %.0f bytes/s", (ids - 1) / ((last - first) * 1e-9));
        return String.format(Locale.ROOT, "%d bytes, the first after %.2f s%s", ids, (first - start) * 1e-9, rate);
    }
}
