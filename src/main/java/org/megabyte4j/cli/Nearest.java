package org.megabyte4j.cli;

import java.util.Collection;
import java.util.Comparator;
import java.util.Optional;

/** What somebody probably meant. */
final class Nearest {
    private Nearest() {
    }

    /** The valid word that the fewest mistakes turn into {@code typed}, if it is not more wrong than right. */
    static Optional<String> to(String typed, Collection<String> valid) {
        return valid.stream().sorted().min(Comparator.comparingInt(word -> mistakes(typed, word)))
                .filter(word -> 2 * mistakes(typed, word) <= Math.max(typed.length(), word.length()));
    }

    /** Letters too many, too few, wrong or swapped with their neighbour (optimal string alignment distance). */
    static int mistakes(String a, String b) {
        int[][] cost = new int[a.length() + 1][b.length() + 1];
        for (int i = 0; i <= a.length(); i++) {
            for (int j = 0; j <= b.length(); j++) {
                if (i == 0 || j == 0) {
                    cost[i][j] = i + j;
                    continue;
                }
                int same = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
                cost[i][j] = Math.min(cost[i - 1][j - 1] + same, 1 + Math.min(cost[i - 1][j], cost[i][j - 1]));
                if (i > 1 && j > 1 && a.charAt(i - 1) == b.charAt(j - 2) && a.charAt(i - 2) == b.charAt(j - 1)) {
                    cost[i][j] = Math.min(cost[i][j], cost[i - 2][j - 2] + 1);
                }
            }
        }
        return cost[a.length()][b.length()];
    }
}
