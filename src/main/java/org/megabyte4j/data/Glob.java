package org.megabyte4j.data;

import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * A pattern for names with {@code /}. The JDK's own globs only match a {@code Path}, which entries of a zip file need
 * not be on every system, and their {@code **}{@code /} never matches nothing.
 */
final class Glob {
    private final Pattern pattern;

    /** @throws DataException if it is malformed */
    Glob(String glob) {
        try {
            pattern = Pattern.compile(regex(glob), Pattern.DOTALL);
        } catch (PatternSyntaxException e) {
            throw new DataException("the glob \"" + glob + "\" is malformed: " + e.getDescription()
                    + "; use a pattern such as **/*.txt", e);
        }
    }

    boolean matches(String name) {
        return pattern.matcher(name).matches();
    }

    private static String regex(String glob) {
        var regex = new StringBuilder();
        int braces = 0;
        for (int i = 0; i < glob.length(); i++) {
            char c = glob.charAt(i);
            switch (c) {
                case '*' -> {
                    if (glob.startsWith("**/", i)) {
                        regex.append("(?:.*/)?");
                        i += 2;
                    } else if (glob.startsWith("**", i)) {
                        regex.append(".*");
                        i++;
                    } else {
                        regex.append("[^/]*");
                    }
                }
                case '?' -> regex.append("[^/]");
                case '{' -> {
                    regex.append("(?:");
                    braces++;
                }
                case '}' -> {
                    regex.append(braces > 0 ? ")" : "\\}");
                    braces = Math.max(0, braces - 1);
                }
                case ',' -> regex.append(braces > 0 ? "|" : ",");
                case '[' -> {
                    int end = glob.indexOf(']', i + 2);
                    if (end < 0) {
                        throw new PatternSyntaxException("a [ without its ]", glob, i);
                    }
                    boolean not = glob.charAt(i + 1) == '!';
                    String set = glob.substring(i + (not ? 2 : 1), end).replaceAll("[\\\\\\[\\]^&]", "\\\\$0");
                    regex.append("(?!/)[").append(not ? "^" : "").append(set).append(']');
                    i = end;
                }
                default -> {
                    int character = glob.codePointAt(i);
                    regex.append(Pattern.quote(Character.toString(character)));
                    i += Character.charCount(character) - 1;
                }
            }
        }
        if (braces > 0) {
            throw new PatternSyntaxException("a { without its }", glob, glob.length());
        }
        return regex.toString();
    }
}
