// What travellers may wish of their places.

const byAccommodation = { SEAT: ["", "window", "aisle", "same_coach"], BERTH: ["", "lower", "same_coach"], STANDING: [""] };

/** All wishes; the first is none. */
export const wishes = ["", "window", "aisle", "lower", "same_coach"];

/** The wishes that make sense: no windows among berths, and company only for more than one. All, where nobody knows what the places are. */
export function fitting(accommodation, passengers) {
  return (byAccommodation[accommodation] ?? wishes).filter((wish) => wish !== "same_coach" || passengers > 1);
}
